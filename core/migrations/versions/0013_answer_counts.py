"""answers counted by day"""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "answer_count",
        sa.Column("classifier", sa.Text, primary_key=True),
        sa.Column("day", sa.Date, primary_key=True),
        sa.Column("version", sa.Text, primary_key=True),
        sa.Column("shadow", sa.Boolean, primary_key=True),
        sa.Column("region", sa.Text, primary_key=True),
        sa.Column("label", sa.Text, primary_key=True),
        sa.Column("answers", sa.BigInteger, nullable=False),
        sa.Column("probability_sum", sa.Double, nullable=False),
    )
    op.create_table(
        "answers_counted",
        sa.Column("classifier", sa.Text, primary_key=True),
        sa.Column("sequence", sa.BigInteger, nullable=False),
        sa.Column("counted_at", sa.DateTime(timezone=True), nullable=False),
    )


def downgrade() -> None:
    op.drop_table("answers_counted")
    op.drop_table("answer_count")
