"""answers counted by region and by label apart: together they were as many as the log"""

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None

SUMS = (
    "sum(answers) as answers, sum(probability_sum) as probability_sum, "
    "sum(abstained) as abstained"
)


def upgrade() -> None:
    """Wait for a count that is under way: what it adds is moved, too."""
    op.execute("lock table answer_count in access exclusive mode")
    op.create_table(
        "label_count",
        sa.Column("classifier", sa.Text, primary_key=True),
        sa.Column("day", sa.Date, primary_key=True),
        sa.Column("version", sa.Text, primary_key=True),
        sa.Column("shadow", sa.Boolean, primary_key=True),
        sa.Column("label", sa.Text, primary_key=True),
        sa.Column("answers", sa.BigInteger, nullable=False),
        sa.Column("probability_sum", sa.Double, nullable=False),
        sa.Column("abstained", sa.BigInteger, nullable=False, server_default=sa.text("0")),
    )
    op.execute(f"""
        insert into label_count
        select classifier, day, version, shadow, label, {SUMS} from answer_count
        group by classifier, day, version, shadow, label
    """)
    op.execute(f"""
        create temporary table by_region on commit drop as
        select classifier, day, version, shadow, region, {SUMS} from answer_count
        group by classifier, day, version, shadow, region
    """)
    op.execute("truncate answer_count")
    op.drop_column("answer_count", "label")
    op.create_primary_key(
        "answer_count_pkey", "answer_count", ["classifier", "day", "version", "shadow", "region"]
    )
    op.execute("insert into answer_count select * from by_region")


def downgrade() -> None:
    """Answers are counted anew from the log: which label came from which region is not known.

    So are those that agree with a fix.
    """
    op.execute("truncate answer_count")
    op.execute("update answers_counted set sequence = 0")
    op.execute("update fix set answers = 0")
    op.drop_constraint("answer_count_pkey", "answer_count")
    op.add_column("answer_count", sa.Column("label", sa.Text, nullable=False))
    op.create_primary_key(
        "answer_count_pkey",
        "answer_count",
        ["classifier", "day", "version", "shadow", "region", "label"],
    )
    op.drop_table("label_count")
