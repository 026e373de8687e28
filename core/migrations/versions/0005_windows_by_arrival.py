"""windows by arrival"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Windows of before end where their last row is; the next one begins behind it."""
    op.add_column("drift_report", sa.Column("first_sequence", sa.BigInteger()))
    op.add_column("drift_report", sa.Column("last_sequence", sa.BigInteger()))
    op.add_column("drift_report", sa.Column("answers", sa.BigInteger()))
    op.execute("""
        update drift_report set last_sequence = (
            select max(inference.sequence) from inference
            where inference.classifier = drift_report.classifier
              and inference.version = drift_report.version
              and (inference.occurred_at < drift_report.window_end
                   or inference.occurred_at = drift_report.window_end
                   and (drift_report.last_request is null
                        or inference.request_id <= drift_report.last_request))
        )
    """)
    op.create_index(
        "drift_report_arrival",
        "drift_report",
        ["classifier", "window_number"],
        unique=True,
        postgresql_where=sa.text("first_sequence is not null"),
    )
    # A trigger, because every writer must hold the lock: a bento of an earlier release, too.
    op.execute("""
        create function hold_arrivals() returns trigger language plpgsql as
        $$ begin perform pg_advisory_xact_lock_shared(5066); return null; end $$
    """)
    op.execute("""
        create trigger hold_arrivals before insert on inference
        for each statement execute function hold_arrivals()
    """)


def downgrade() -> None:
    op.execute("drop trigger hold_arrivals on inference")
    op.execute("drop function hold_arrivals")
    op.drop_index("drift_report_arrival", "drift_report")
    op.drop_column("drift_report", "answers")
    op.drop_column("drift_report", "last_sequence")
    op.drop_column("drift_report", "first_sequence")
