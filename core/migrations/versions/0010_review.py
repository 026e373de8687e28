"""the review queue: items, leases, answers"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    _items()
    _leases()
    _answers()


def _items() -> None:
    op.create_table(
        "review_item",
        sa.Column("id", sa.BigInteger, sa.Identity(), primary_key=True),
        sa.Column("classifier", sa.Text, nullable=False),
        sa.Column("phrase", sa.Text, nullable=False),
        sa.Column("cleaned", sa.Text, nullable=False),
        sa.Column("request_id", sa.Text, nullable=False),
        sa.Column("version", sa.Text, nullable=False),
        sa.Column("label", sa.Text, nullable=False),
        sa.Column("confidence", sa.Double, nullable=False),
        sa.Column("alternatives", JSONB, nullable=False),
        sa.Column("region", sa.Text),
        sa.Column("occurred_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("strategy", sa.Text, nullable=False),
        sa.Column("probability", sa.Double),
        sa.Column("frequency", sa.Integer, nullable=False),
        sa.Column("score", sa.Double, nullable=False),
        sa.Column("state", sa.Text, nullable=False, server_default="open"),
        sa.Column("needs", sa.Integer, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("decided_label", sa.Text),
        sa.Column("decided_at", sa.DateTime(timezone=True)),
        sa.Column("feedback", sa.BigInteger),
    )
    op.create_index(
        "review_item_open",
        "review_item",
        ["classifier", sa.text("score DESC"), "id"],
        postgresql_where=sa.text("state = 'open'"),
    )
    op.create_index(
        "review_item_open_phrase",
        "review_item",
        ["classifier", "cleaned"],
        unique=True,
        postgresql_where=sa.text("state = 'open' AND probability IS NULL"),
    )
    op.create_index(
        "review_item_drawn",
        "review_item",
        ["classifier", "request_id"],
        unique=True,
        postgresql_where=sa.text("probability IS NOT NULL"),
    )
    op.create_index("review_item_request", "review_item", ["classifier", "request_id"])
    op.create_index("review_item_decided", "review_item", ["classifier", "decided_at"])


def _of_item(**options: bool) -> sa.Column:
    return sa.Column(
        "item", sa.BigInteger, sa.ForeignKey("review_item.id", ondelete="CASCADE"), **options
    )


def _leases() -> None:
    op.create_table(
        "review_lease",
        _of_item(primary_key=True),
        sa.Column("person", sa.Text, primary_key=True),
        sa.Column("until", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_index("review_lease_by_person", "review_lease", ["person"])


def _answers() -> None:
    op.create_table(
        "review_answer",
        sa.Column("id", sa.BigInteger, sa.Identity(), primary_key=True),
        _of_item(nullable=False),
        sa.Column("person", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("label", sa.Text),
        sa.Column("reason", sa.Text),
        sa.Column("act", sa.Text, nullable=False),
        sa.Column("answered_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("undone_at", sa.DateTime(timezone=True)),
    )
    op.create_index(
        "review_answer_of_item",
        "review_answer",
        ["item", "person"],
        unique=True,
        postgresql_where=sa.text("undone_at IS NULL"),
    )
    op.create_index("review_answer_of_act", "review_answer", ["person", "act"])
    op.create_index("review_answer_by_moment", "review_answer", ["answered_at"])


def downgrade() -> None:
    for table in ("review_answer", "review_lease", "review_item"):
        op.drop_table(table)
