"""A service without a cache file is warmed from recent months of the log, read by its index."""

from __future__ import annotations

import time
from datetime import UTC, datetime

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Engine

from bentos.answering import warming
from bentos.answering.warming import read_frequent_from
from core.partitions import tidy_inference

ROWS = 300_000
DAYS = 90
FILL = """
insert into inference
select now() - make_interval(secs => n * :step), 'r' || n, '1', 'c' || n % 3,
       case n % 50 when 0 then 'shadow' else 'champion' end,
       'Phrase', :mark || floor(20000 * power(random(), 3)), 'heart', .9,
       '[["lung", 0.1]]'::jsonb, 'e', true, 1.0, null, null, '[]'::jsonb
from generate_series(1, cast(:rows as bigint)) n
"""
QUIET = """
insert into inference
select now() - make_interval(hours => 30 + n % 100), 'q' || n, '1', 'quiet', 'champion',
       'Phrase', 'once ' || n % 50, 'heart', .9, '[]'::jsonb, 'e', true, 1.0, null,
       case when n % 50 < 40 then 'key' else 'loadtest-' || n end, '[]'::jsonb
from generate_series(1, 100) n
"""
MONTHS = sa.text(
    "select inhrelid::regclass::text from pg_inherits where inhparent = 'inference'::regclass"
)


@pytest.fixture
def filled(engine: Engine) -> Engine:
    """300,000 rows of 90 days by three classifiers, and a few of one that is seldom asked."""
    with engine.begin() as connection:
        connection.execute(
            sa.text(FILL), {"rows": ROWS, "step": DAYS * 86400 / ROWS, "mark": "phrase "}
        )
        connection.execute(sa.text(QUIET))
    tidy_inference(engine, now=datetime.now(UTC), kept_months=36)
    with engine.begin() as connection:
        connection.execute(sa.text("analyze inference"))
    return engine


def counted(engine: Engine, classifier: str, hours: int) -> dict[str, int]:
    rows = (
        "select cleaned, count(*) from inference"
        " where classifier = :classifier and role <> 'shadow'"
        " and occurred_at > now() - make_interval(hours => :hours) group by cleaned"
    )
    with engine.connect() as connection:
        return {
            row[0]: row[1]
            for row in connection.execute(sa.text(rows), {"classifier": classifier, "hours": hours})
        }


def test_the_most_frequent_phrases_of_a_full_log_are_found(filled: Engine) -> None:
    began = time.monotonic()
    found = read_frequent_from(filled, seconds=60)("c1", 200)
    print(f"200 phrases out of {ROWS:,} rows: {1000 * (time.monotonic() - began):.0f} ms")
    counts = counted(filled, "c1", 24)
    assert (len(found), len(set(found))) == (200, 200)
    assert [counts[one] for one in found] == sorted(counts.values(), reverse=True)[:200], (
        "of a day: an hour has fewer, a week is not needed"
    )


def test_a_classifier_that_is_seldom_asked_is_read_a_week_back(filled: Engine) -> None:
    assert set(counted(filled, "quiet", 168)) == {f"once {n}" for n in range(50)}
    assert set(read_frequent_from(filled, seconds=60)("quiet", 200)) == {
        f"once {n}" for n in range(40)
    }, "what a load test asked is not warmed"
    assert read_frequent_from(filled, seconds=60)("never asked", 200) == []


def test_only_recent_months_are_read_and_by_the_index(filled: Engine) -> None:
    asked = {"classifier": "c1", "hours": 168, "limit": 200}
    with filled.connect() as connection:
        plan = "\n".join(
            connection.scalars(
                sa.text("explain (analyze, costs off) " + warming._FREQUENT.text), asked
            )
        )
        months = list(connection.scalars(MONTHS))
    read = [month for month in months if f" on {month} " in plan]
    assert len(months) >= 5
    assert len(read) <= 4, (
        "this month, the one before in its first week, the next, and the rows of no month"
    )
    assert "Index Cond: ((classifier = 'c1'::text) AND (occurred_at > (now()" in plan, plan
    this_month = f"{datetime.now(UTC):inference_%Y_%m}"
    assert f"Seq Scan on {this_month}" not in plan, plan
