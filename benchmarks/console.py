"""Measures the console on a year's log: every page, searches, and what they cost the shipper.

    python -m benchmarks.console [--quick] [--json]

It writes 10 million answers of 200,000 distinct phrases into a PostgreSQL of its own, which takes
about 10 GB in the folder for temporary files (TMPDIR), and six minutes on a quiet machine.
"""

from __future__ import annotations

from collections.abc import Sequence

from starlette.testclient import TestClient

from benchmarks.console_requests import Timed, follow_pages, pages, searches, time_requests
from benchmarks.console_review import REVIEWERS, Reviewed, fill_queue, review_at_once
from benchmarks.console_shipper import BATCH, Cost, measure_shipper
from benchmarks.console_world import Scale, open_world
from benchmarks.harness import Bar, Result, median, options, present, progress, table
from console.app import create_app
from flows.context import LoopContext

WHOLE = Scale(answers=10_000_000, phrases=200_000, labelled=50_000, waiting=50_000)
QUICK = Scale(answers=200_000, phrases=20_000, labelled=1_000, waiting=2_000)
PACKAGES = ("fastapi", "sqlalchemy", "psycopg")
NEXT_MS = 100
PAGE_MS = 300
SEARCH_MS = 500


def main() -> None:
    """Write the log, measure, and print the result."""
    arguments = options("how fast the console answers on a year's log").parse_args()
    scale = QUICK if arguments.quick else WHOLE
    with open_world(scale) as loop:
        result = measure(loop, scale, rounds=3 if arguments.quick else 9)
    present(result, title="Console", packages=PACKAGES, arguments=arguments)


def measure(loop: LoopContext, scale: Scale, *, rounds: int) -> Result:
    """Time pages and searches, then the shipper."""
    client = TestClient(create_app(loop), base_url="http://127.0.0.1")
    progress("pages")
    timed_pages = time_requests(client, pages(loop), rounds=rounds)
    progress("searches")
    timed_searches = time_requests(client, searches(scale), rounds=rounds)
    followed = list(follow_pages(client, text="fracture", number=5 * rounds))
    progress("reviewers")
    fill_queue(loop.engine, scale.waiting)
    reviewed = review_at_once(loop.engine, labels=100 * rounds + 100)
    progress("shipper")
    costs = measure_shipper(loop, batches=10 * rounds)
    return Result(
        figures={
            "pages_ms": {row.name: row.typical for row in timed_pages},
            "searches_ms": {row.name: row.typical for row in timed_searches},
            "following_pages_ms": median(followed),
            "next_item_ms": median(reviewed.waits),
            "slow_next_item_ms": slow(reviewed.waits),
            "stored_label_ms": median(reviewed.stores),
            "shipper_ms": {name: vars(cost) for name, cost in costs.items()},
        },
        bars=[
            Bar("any page, ms", _worst(timed_pages), PAGE_MS),
            Bar("any search, ms", _worst(timed_searches), SEARCH_MS),
            Bar("a following page of a search, ms", median(followed), SEARCH_MS),
            Bar("the next item of ten reviewers at once, ms", median(reviewed.waits), NEXT_MS),
            Bar("items that two people got", reviewed.twice, 0),
            Bar("labels lost", reviewed.lost, 0),
        ],
        tables=[
            _times("page", timed_pages),
            _times("search", timed_searches),
            _reviews(reviewed),
            _shipper(costs),
        ],
        input=f"{scale.answers:,} answers, {scale.phrases:,} distinct phrases, "
        f"{scale.labelled:,} labels, {scale.waiting:,} items waiting",
    )


def _worst(timed: Sequence[Timed]) -> float:
    return max(row.typical for row in timed)


def _times(what: str, timed: Sequence[Timed]) -> str:
    rows = [
        (row.name, f"{row.typical:.0f}", f"{row.slowest:.0f}", f"{row.first:.0f}") for row in timed
    ]
    return table((what, "median, ms", "slowest, ms", "first, ms"), rows)


def slow(milliseconds: Sequence[float]) -> float:
    """Return what 99 of 100 do not exceed."""
    return sorted(milliseconds)[len(milliseconds) * 99 // 100]


def _reviews(reviewed: Reviewed) -> str:
    steps = {"the next item": reviewed.waits, "a label is stored": reviewed.stores}
    rows = [(name, f"{median(times):.0f}", f"{slow(times):.0f}") for name, times in steps.items()]
    heads = (f"{REVIEWERS} reviewers, {reviewed.labels:,} labels", "median, ms", "99 of 100, ms")
    return table(heads, rows)


def _shipper(costs: dict[str, Cost]) -> str:
    rows = [(name, f"{cost.wall:.0f}", f"{cost.cpu:.0f}") for name, cost in costs.items()]
    heads = (f"a batch of {BATCH:,} rows", "stored in, ms", "PostgreSQL's processor, ms")
    return table(heads, [(f"{name} the console's indexes", wall, cpu) for name, wall, cpu in rows])


if __name__ == "__main__":
    main()
