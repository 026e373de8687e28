"""what a retraining found about labels; decisions that replace rows of the source"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "label_report",
        sa.Column("classifier", sa.Text, primary_key=True),
        sa.Column("version", sa.Text, nullable=False),
        sa.Column("made_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("suspects", JSONB, nullable=False),
        sa.Column("labels", JSONB, nullable=False),
    )
    op.add_column("feedback", sa.Column("source_row", sa.Text))
    op.create_index(
        "feedback_by_source_row",
        "feedback",
        ["classifier", "source_row"],
        postgresql_where=sa.text("source_row is not null"),
    )
    op.add_column("review_item", sa.Column("proposed_label", sa.Text))
    op.add_column("review_item", sa.Column("source_rows", JSONB))


def downgrade() -> None:
    op.drop_column("review_item", "source_rows")
    op.drop_column("review_item", "proposed_label")
    op.drop_index("feedback_by_source_row", "feedback")
    op.drop_column("feedback", "source_row")
    op.drop_table("label_report")
