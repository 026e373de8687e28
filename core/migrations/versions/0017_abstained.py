"""answers that no label fits"""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("inference", sa.Column("abstained", sa.Boolean))


def downgrade() -> None:
    op.drop_column("inference", "abstained")
