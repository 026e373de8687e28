"""answers that no label fits"""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Rows logged before are null there: their versions always answered."""
    op.add_column("inference", sa.Column("abstained", sa.Boolean))
    op.add_column(
        "answer_count",
        sa.Column("abstained", sa.BigInteger, nullable=False, server_default=sa.text("0")),
    )


def downgrade() -> None:
    op.drop_column("answer_count", "abstained")
    op.drop_column("inference", "abstained")
