"""last row of a window"""

import sqlalchemy as sa
from alembic import op

revision = '0003'
down_revision = '0002'
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the id of the last row of a window: rows of one batch share a moment.

    It is null in earlier reports.
    """
    op.add_column('drift_report', sa.Column('last_request', sa.Text()))


def downgrade() -> None:
    op.drop_column('drift_report', 'last_request')
