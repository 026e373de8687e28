"""what became of fixes"""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

TEXTS = ("classifier", "author", "request_id", "phrase", "cleaned")


def upgrade() -> None:
    op.add_column(
        "answers_counted",
        sa.Column("feedback", sa.BigInteger, nullable=False, server_default=sa.text("0")),
    )
    op.create_table(
        "fix",
        sa.Column("feedback", sa.BigInteger, primary_key=True, autoincrement=False),
        *(sa.Column(name, sa.Text, nullable=False) for name in TEXTS),
        sa.Column("key", sa.BigInteger, nullable=False),
        sa.Column("version", sa.Text, nullable=False),
        sa.Column("before", sa.Text, nullable=False),
        sa.Column("label", sa.Text, nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("answers", sa.BigInteger, nullable=False, server_default=sa.text("0")),
    )
    op.create_index("fix_by_classifier", "fix", ["classifier", "feedback"])
    op.create_index("fix_by_author", "fix", ["classifier", "author", "feedback"])
    op.create_index("fix_by_phrase", "fix", ["classifier", "key"])


def downgrade() -> None:
    op.drop_table("fix")
    op.drop_column("answers_counted", "feedback")
