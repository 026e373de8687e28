"""the random draws of the review queue"""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "review_draw",
        sa.Column("id", sa.BigInteger, sa.Identity(), primary_key=True),
        sa.Column("classifier", sa.Text, nullable=False),
        sa.Column("drawn_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("after_sequence", sa.BigInteger, nullable=False),
        sa.Column("last_sequence", sa.BigInteger, nullable=False),
        sa.Column("probability", sa.Double, nullable=False),
        sa.Column("drawn", sa.Integer, nullable=False),
    )
    op.create_index("review_draw_by_classifier", "review_draw", ["classifier", "id"])


def downgrade() -> None:
    op.drop_table("review_draw")
