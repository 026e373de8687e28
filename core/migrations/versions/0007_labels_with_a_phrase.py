"""labels that come with a phrase of their own"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

COLUMNS = (
    sa.Column("phrase", sa.Text),
    sa.Column("cleaned", sa.Text),
    sa.Column("occurred_at", sa.DateTime(timezone=True)),
    sa.Column("region", sa.Text),
)


def upgrade() -> None:
    for column in COLUMNS:
        op.add_column("feedback", column)


def downgrade() -> None:
    for column in COLUMNS:
        op.drop_column("feedback", column.name)
