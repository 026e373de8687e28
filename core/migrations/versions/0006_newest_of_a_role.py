"""newest row of a role"""

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("deployment_by_role", "deployment", ["classifier", "role", "id"])


def downgrade() -> None:
    op.drop_index("deployment_by_role", "deployment")
