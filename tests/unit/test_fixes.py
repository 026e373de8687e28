"""What became of a fix, from what happened to its classifier."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from monitoring.labels.fixes import Fix, History, Revision, TakenSnapshot, Trained, outcome_of

DAY = timedelta(days=1)
START = datetime(2026, 1, 1, tzinfo=UTC)
FIX = Fix(
    id=10,
    received_at=START,
    author="ada",
    request_id="r",
    phrase="Worn cog",
    version="1",
    before="heart",
    label="lung",
    answers=0,
    replaced_at=None,
)


def revision(number: int, *, day: float, last: int, enabled: bool = True) -> Revision:
    return Revision(number, START + day * DAY, START + day * DAY, last, enabled)


def snapshot(day: float) -> TakenSnapshot:
    return TakenSnapshot(START + day * DAY, f"run-{day:g}")


def version(name: str, *, day: float, kind: str, answers: float | None = None) -> Trained:
    since = None if answers is None else START + answers * DAY
    return Trained(name, START + day * DAY, kind, ("why",), since)


def test_nothing_became_of_a_fix_that_is_new() -> None:
    outcome = outcome_of(FIX, History((), (), ()))
    assert (outcome.snapshot, outcome.revision, outcome.learnt, outcome.answering) == (None,) * 4


def test_the_first_of_each_that_came_after_the_fix_holds_it() -> None:
    history = History(
        revisions=[
            revision(1, day=-1, last=9),
            revision(2, day=1, last=12),
            revision(3, day=2, last=20),
        ],
        snapshots=[snapshot(-1), snapshot(3), snapshot(4)],
        versions=[
            version("1", day=-1, kind="promote", answers=-1),
            version("2", day=3, kind="reject"),
            version("3", day=4, kind="promote", answers=4),
        ],
    )
    outcome = outcome_of(FIX, history)
    assert outcome.revision and outcome.revision.number == 2
    assert outcome.snapshot and outcome.snapshot.git_tag == "run-3"
    assert outcome.learnt and (outcome.learnt.version, outcome.learnt.kind) == ("2", "reject")
    assert outcome.answering and outcome.answering.version == "3"


@pytest.mark.parametrize(("day", "held"), [(1, False), (2, False), (3, True)])
def test_a_label_dated_before_its_import_is_in_no_snapshot_of_before(day: int, held: bool) -> None:
    """Revision 2 of day 2 could have known it, so it was imported later."""
    history = History(
        revisions=[revision(2, day=2, last=9), revision(3, day=2.5, last=10)],
        snapshots=[snapshot(day)],
        versions=[version("2", day=day, kind="keep")],
    )
    outcome = outcome_of(FIX, history)
    assert outcome.revision and outcome.revision.number == 3
    assert (outcome.snapshot is not None, outcome.learnt is not None) == (held, held)


def test_a_replaced_label_is_in_no_later_snapshot() -> None:
    replaced = replace(FIX, replaced_at=START + 2 * DAY)
    history = History((), [snapshot(1), snapshot(3)], [version("3", day=3, kind="promote")])
    outcome = outcome_of(replaced, history)
    assert outcome.snapshot and outcome.snapshot.git_tag == "run-1"
    assert outcome.learnt is None
    assert outcome_of(replaced, History((), [snapshot(3)], ())).snapshot is None
