"""labels that people fixed for single phrases"""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Rows logged before have no pin: both columns are null there."""
    op.create_table(
        "pin",
        sa.Column("id", sa.BigInteger, sa.Identity(), primary_key=True),
        sa.Column("classifier", sa.Text, nullable=False),
        sa.Column("cleaned", sa.Text, nullable=False),
        sa.Column("label", sa.Text),
        sa.Column("since", sa.DateTime(timezone=True), nullable=False),
        sa.Column("until", sa.DateTime(timezone=True)),
        sa.Column("author", sa.Text, nullable=False),
        sa.Column("why", sa.Text, nullable=False),
    )
    op.create_index("pin_by_phrase", "pin", ["classifier", "cleaned", "id"])
    op.add_column("inference", sa.Column("pin", sa.BigInteger))
    op.add_column("inference", sa.Column("pinned_label", sa.Text))
    op.create_index(
        "inference_by_pin",
        "inference",
        ["pin", "occurred_at"],
        postgresql_where=sa.text("pin is not null"),
    )


def downgrade() -> None:
    op.drop_index("inference_by_pin", "inference")
    op.drop_column("inference", "pinned_label")
    op.drop_column("inference", "pin")
    op.drop_table("pin")
