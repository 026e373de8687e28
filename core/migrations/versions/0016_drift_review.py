"""what people say of drift windows, and what a watch saw of each"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "drift_review",
        sa.Column("id", sa.BigInteger, sa.Identity(), primary_key=True),
        sa.Column("reviewed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("classifier", sa.Text, nullable=False),
        sa.Column("window_number", sa.Integer, nullable=False),
        sa.Column("first_sequence", sa.BigInteger, nullable=False),
        sa.Column("last_sequence", sa.BigInteger, nullable=False),
        sa.Column("author", sa.Text, nullable=False),
        sa.Column("verdict", sa.Text, nullable=False),
        sa.Column("note", sa.Text, nullable=False),
    )
    op.create_index(
        "drift_review_window", "drift_review", ["classifier", "window_number", "id"]
    )
    op.add_column("drift_report", sa.Column("accepted_window", sa.Integer))
    op.add_column("drift_report", sa.Column("evidence", JSONB))


def downgrade() -> None:
    op.drop_column("drift_report", "evidence")
    op.drop_column("drift_report", "accepted_window")
    op.drop_table("drift_review")
