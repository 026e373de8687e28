"""distinct phrases of the log"""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

DISTINCT = "select distinct classifier, hashtextextended(cleaned, 0) as key, cleaned from"
PARTS = """
    create index distinct_phrase_by_part on distinct_phrase using gin (cleaned gin_trgm_ops)
"""
STARTS = """
    create index distinct_phrase_by_start
    on distinct_phrase (classifier, (left(cleaned, 200)) text_pattern_ops)
"""


def upgrade() -> None:
    op.create_table(
        "distinct_phrase",
        sa.Column("classifier", sa.Text, primary_key=True),
        sa.Column("key", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("cleaned", sa.Text, nullable=False),
    )
    op.execute(f"insert into distinct_phrase {DISTINCT} inference on conflict do nothing")
    _create_search_index()
    op.execute(
        "create index inference_by_phrase on inference (classifier, hashtextextended(cleaned, 0))"
    )
    op.create_index("inference_by_label", "inference", ["classifier", "label"])
    op.create_index("inference_by_moment", "inference", ["classifier", "occurred_at"])
    _create_trigger()


def _create_search_index() -> None:
    """By parts of a phrase where the database offers pg_trgm to this user, else by its start."""
    connection = op.get_bind()
    try:
        with connection.begin_nested():
            connection.execute(sa.text("create extension if not exists pg_trgm"))
            connection.execute(sa.text(PARTS))
    except sa.exc.DBAPIError:
        op.execute(STARTS)


def _create_trigger() -> None:
    """Store new phrases with the rows that bring them.

    A trigger, because a bento of an earlier release writes rows, too. An error in it becomes a
    warning: the log matters more than the search. All writers insert in one order, so that two of
    them cannot wait for each other.
    """
    op.execute(f"""
        create function keep_phrases() returns trigger language plpgsql as $$
        begin
            insert into distinct_phrase (classifier, key, cleaned)
            {DISTINCT} arrived order by classifier, key
            on conflict do nothing;
            return null;
        exception when others then
            raise warning 'phrases are not stored for the search: %', sqlerrm;
            return null;
        end $$
    """)
    op.execute("""
        create trigger keep_phrases after insert on inference
        referencing new table as arrived for each statement execute function keep_phrases()
    """)


def downgrade() -> None:
    op.execute("drop trigger keep_phrases on inference")
    op.execute("drop function keep_phrases")
    op.drop_index("inference_by_moment", "inference")
    op.drop_index("inference_by_label", "inference")
    op.drop_index("inference_by_phrase", "inference")
    op.drop_table("distinct_phrase")
