from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Engine

from core.contracts import Verdict
from core.database import DatabaseUrls
from core.decisions import record_decision
from core.errors import Busy, UnknownVersion
from core.feedback import record_feedback
from core.memory_revisions import newest_revisions
from core.params.schema import load_params
from core.settings import REPOSITORY
from core.tables.loop import feedback
from flows.context import LoopContext
from flows.memory import (
    describe_renewal,
    remember_labels,
    remember_retraining,
    renew_memory,
)
from flows.pages.memory import changes_page
from flows.run import Run
from lineage.reproduce_memory import reproduce_revision
from monitoring.labels import received as received_labels
from pipelines.memory.store import store_source_labels
from pipelines.model.memory import Memory, load_memory
from tests.support.places import own_place
from tests.support.processes import wait_for
from tests.support.traffic import log, promote, store_model, traffic

NOW = datetime(2026, 2, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)


@pytest.fixture
def context(engine: Engine, database: DatabaseUrls, tmp_path: Path) -> LoopContext:
    """Ten answers "label00" of `topic`, all to the phrase "worn cog"; the champion is version 1."""
    rows = traffic(days=1, a_day=30, seed=1).head(10)
    rows = rows.assign(phrase="Worn cog", cleaned="worn cog", label="label00")
    with engine.begin() as connection:
        log(connection, rows, classifier="topic", version="1")
        model = store_model(tmp_path / "models", classifier="topic", version="1", reference=None)
        promote(connection, model, since=NOW - 9 * HOUR)
    params = load_params(REPOSITORY / "params.yaml")
    return LoopContext(own_place(tmp_path), database, engine, params)


def correct(
    context: LoopContext,
    number: int,
    label: str,
    *,
    author: str = "ada",
    at: datetime = NOW,
    kind: str = "unknown",
    prefix: str = "r",
) -> None:
    with context.engine.begin() as connection:
        record_feedback(
            connection,
            request_id=f"{prefix}-{number:06d}",
            label=label,
            author=author,
            received_at=at,
            kind=kind,
        )


def source_labels(*labels: str, phrase: str = "worn cog") -> pa.Table:
    """Rows of the source for a phrase, one a day before the answers."""
    moments = [NOW - timedelta(days=40 - number) for number in range(len(labels))]
    count = len(labels)
    return pa.table(
        {
            "id": pa.array([f"{phrase}-{number}" for number in range(count)], pa.string()),
            "cleaned": pa.array([phrase] * count, pa.string()),
            "label": pa.array(labels, pa.string()),
            "occurred_at": pa.array(moments, pa.timestamp("us", "UTC")),
            "from_source": pa.array([True] * count, pa.bool_()),
            "test": pa.array([False] * count, pa.bool_()),
        }
    )


def keep_source(context: LoopContext, *labels: str) -> str:
    return store_source_labels(context.settings.models, "topic", source_labels(*labels))


def memory_of(context: LoopContext) -> Memory:
    with context.engine.connect() as connection:
        newest = newest_revisions(connection)["topic"]
    return load_memory(Path(newest.location), digest=newest.digest)


def best(memory: Memory) -> str:
    place = memory.place("worn cog")
    assert place is not None
    _, weights = memory.evidence(place)
    return max(weights, key=lambda label: weights[label])


def remember(context: LoopContext, now: datetime = NOW) -> Verdict:
    return remember_labels(context, "topic", now=now)


def begin(context: LoopContext, *labels: str) -> None:
    snapshot = keep_source(context, *labels)
    renew_memory(context, "topic", snapshot=snapshot, now=NOW - HOUR, why="first")


def test_before_the_first_retraining_nothing_is_remembered(context: LoopContext) -> None:
    assert remember(context).kind == "waiting"


def test_without_feedback_a_revision_stays(context: LoopContext) -> None:
    begin(context, "label00")
    assert remember(context).kind == "current"


def test_a_correction_is_in_the_next_revision(context: LoopContext) -> None:
    begin(context)
    correct(context, 1, "label07")
    verdict = remember(context)
    assert (verdict.kind, verdict.evidence["revision"]) == ("renewed", 2)
    [change] = verdict.evidence["changed"]
    assert (change["cleaned"], change["before"], change["after"]) == (
        "worn cog",
        "label00",
        "label07",
    )
    assert best(memory_of(context)) == "label07"
    assert remember(context, NOW + HOUR).kind == "current"


def test_phrases_that_are_changed_alike_turn_each_other(context: LoopContext) -> None:
    """One correction does not turn the long past of "worn cog"; the same of "loose belt" does.

    Then one label of the source turns "dry gear".
    """
    rows = traffic(days=1, a_day=30, seed=1).iloc[10:20]
    belt = rows.assign(phrase="Loose belt", cleaned="loose belt", label="label00")
    with context.engine.begin() as connection:
        log(connection, belt, classifier="topic", version="1", prefix="belt")
    pasts = [
        source_labels(*["label00"] * 20, phrase=phrase) for phrase in ("worn cog", "loose belt")
    ]
    gear = source_labels(*["label00"] * 20, "label07", phrase="dry gear")
    moments = [*gear["occurred_at"].to_pylist()[:-1], NOW + 1.5 * HOUR]
    gear = gear.set_column(3, "occurred_at", pa.array(moments, pa.timestamp("us", "UTC")))
    others = [source_labels(*[f"other {n}"] * 20, phrase=f"phrase {n}") for n in range(9)]
    past = pa.concat_tables([*pasts, gear, *others])
    snapshot = store_source_labels(context.settings.models, "topic", past)
    renew_memory(context, "topic", snapshot=snapshot, now=NOW - HOUR, why="first")

    correct(context, 1, "label07", kind="correction")
    assert remember(context).evidence["changed"] == []
    correct(context, 1, "label07", at=NOW + HOUR, kind="correction", prefix="belt", author="bob")
    verdict = remember(context, NOW + 2 * HOUR)
    changed = verdict.evidence["changed"]
    assert [(change["cleaned"], change["labels"]) for change in changed] == [
        ("loose belt", 1),
        ("dry gear", 0),
        ("worn cog", 0),
    ]
    assert {change["after"] for change in changed} == {"label07"}
    assert best(memory_of(context)) == "label07"
    assert "because others were changed alike" in changes_page("topic", verdict)


@pytest.mark.parametrize(
    ("kind", "why"),
    [
        ("correction", "no unselected label since the last fit"),
        ("unknown", "of 1 unselected labels since the last fit it predicted 1"),
    ],
)
def test_corrections_do_not_judge_a_memory(context: LoopContext, kind: str, why: str) -> None:
    """Labels of unknown kind do, of authors who label right answers too."""
    with context.engine.begin() as connection:
        fit = Verdict("promote", ("first",), {"version": "1"})
        record_decision(
            connection, fit, classifier="topic", subject="gate", decided_at=NOW - 9 * HOUR
        )
    begin(context, *["label00"] * 3)
    correct(context, 1, "label00", kind=kind)
    assert why in remember(context).reasons[0]


def test_feedback_dated_in_the_future_waits_until_then(context: LoopContext) -> None:
    begin(context, "label00")
    correct(context, 1, "label07", at=NOW + timedelta(days=365))
    assert remember(context).kind == "current"
    correct(context, 2, "label00")
    assert remember(context).kind == "renewed"
    assert memory_of(context).labels == ("label00",)
    assert remember(context, NOW + timedelta(days=366)).kind == "renewed"
    assert memory_of(context).labels == ("label00", "label07")


def test_labels_dated_a_year_back_are_learnt_and_shown(context: LoopContext) -> None:
    begin(context)
    correct(context, 1, "label07", at=NOW - timedelta(days=365))
    verdict = remember(context)
    assert verdict.kind == "renewed"
    assert [change["after"] for change in verdict.evidence["changed"]] == ["label07"]
    assert remember(context, NOW + HOUR).kind == "current"


WAITING = "select 1 from pg_locks where not granted and relation = 'feedback'::regclass"


def test_a_label_that_is_committed_late_is_not_missed(context: LoopContext) -> None:
    """It took the lower id, and is still under way when the memory is renewed."""
    begin(context)
    late = context.engine.connect()
    record_feedback(late, request_id="r-000001", label="label07", author="ada", received_at=NOW)
    correct(context, 2, "label08", author="bob")
    with ThreadPoolExecutor(1) as threads:
        renewal = threads.submit(remember, context)
        with context.engine.connect() as observer:
            wait_for(
                lambda: observer.scalar(sa.text(WAITING)) == 1,
                seconds=30,
                what="the renewal waits for the import",
            )
        late.commit()
        verdict = renewal.result(timeout=30)
    late.close()
    assert set(memory_of(context).labels) == {"label07", "label08"}
    assert verdict.evidence["first_feedback"] + 1 == verdict.evidence["last_feedback"]
    assert remember(context, NOW + HOUR).kind == "current"


def test_feedback_does_not_wait_for_an_import_that_never_ends(context: LoopContext) -> None:
    begin(context)
    correct(context, 2, "label08", author="bob")
    late = context.engine.connect()
    record_feedback(late, request_id="r-000001", label="label07", author="ada", received_at=NOW)
    with ThreadPoolExecutor(1) as threads, context.engine.connect() as observer:
        renewal = threads.submit(remember, context)
        wait_for(
            lambda: observer.scalar(sa.text(WAITING)) == 1,
            seconds=30,
            what="the renewal waits for the import",
        )
        try:
            with context.engine.begin() as writer:
                writer.execute(sa.text("set local lock_timeout = '20s'"))
                record_feedback(
                    writer, request_id="r-000003", label="label09", author="cy", received_at=NOW
                )
        finally:
            late.commit()
            renewal.result(timeout=60)
    late.close()


def test_an_import_that_never_ends_is_named(
    context: LoopContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin(context)
    correct(context, 2, "label08")
    monkeypatch.setattr(received_labels, "WAIT_SECONDS", 1)
    with context.engine.connect() as open_session:
        record_feedback(
            open_session, request_id="r-000001", label="label07", author="ada", received_at=NOW
        )
        with pytest.raises(Busy, match="every import of feedback to end"):
            remember(context)


def retrained(folder: Path, *labels: str) -> Any:
    """A workspace with the split of a retraining."""
    split = folder / "build" / "classifiers" / "topic" / "split"
    split.mkdir(parents=True)
    pq.write_table(source_labels(*labels), split / "labels.parquet")
    return SimpleNamespace(folder=folder)


def test_a_retraining_lists_the_phrases_that_the_source_labels_otherwise(
    context: LoopContext, tmp_path: Path
) -> None:
    begin(context, "label00", "label00")
    workspace = retrained(tmp_path, "label00", "label00", *["label03"] * 4)
    run = Run("r1", NOW, "scheduled")
    renewed = remember_retraining(context, workspace, "topic", run)
    assert renewed is not None
    verdict = describe_renewal(context, renewed, now=NOW)
    [change] = verdict.evidence["changed"]
    assert (change["cleaned"], change["before"], change["after"], change["labels"]) == (
        "worn cog",
        "label00",
        "label03",
        0,
    )
    assert "| worn cog | label00 | label03 | 0 |" in changes_page("topic", verdict)


def test_a_memory_that_a_retraining_could_not_renew_is_renewed_by_the_next_hour(
    context: LoopContext, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin(context)
    workspace = retrained(tmp_path, "label03")
    monkeypatch.setattr(received_labels, "WAIT_SECONDS", 1)
    with context.engine.connect() as open_session:
        record_feedback(
            open_session, request_id="r-000001", label="label07", author="ada", received_at=NOW
        )
        with pytest.raises(Busy):
            remember_retraining(context, workspace, "topic", Run("r1", NOW, "manual"))
    assert remember(context).kind == "renewed"
    assert best(memory_of(context)) == "label03"
    assert remember(context).kind == "current"


def test_a_retraining_of_an_earlier_moment_keeps_what_is_remembered(context: LoopContext) -> None:
    begin(context)
    correct(context, 1, "label07")
    remember(context)
    snapshot = keep_source(context, "label00")
    made = renew_memory(context, "topic", snapshot=snapshot, now=NOW - HOUR, why="manual")
    assert (made.made_at, made.as_of) == (NOW - HOUR, NOW)
    assert set(memory_of(context).labels) == {"label00", "label07"}
    assert remember(context, NOW + HOUR).kind == "current"


def test_one_person_counts_once_a_day(context: LoopContext) -> None:
    begin(context, *["label00"] * 30)
    for number in range(10):
        correct(context, number, "label07", at=NOW - timedelta(seconds=10 - number))
    remember(context)
    assert best(memory_of(context)) == "label00"
    correct(context, 1, "label07", author="bob")
    correct(context, 2, "label07", author="cy")
    remember(context, NOW + HOUR)
    assert best(memory_of(context)) == "label07"


def test_authors_who_contradict_each_other_leave_it_open(context: LoopContext) -> None:
    begin(context)
    for number, label in enumerate(["label01", "label02"] * 4):
        correct(context, number, label, author=f"author {number}", at=NOW + number * HOUR)
    remember(context, NOW + 10 * HOUR)
    place = memory_of(context).place("worn cog")
    assert place is not None
    _, weights = memory_of(context).evidence(place)
    assert max(weights.values()) < 0.65


def test_a_revision_can_be_made_again_from_its_record(
    context: LoopContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin(context, "label00", "label03")
    correct(context, 1, "label07")
    remember(context)
    correct(context, 2, "label08", at=NOW - timedelta(minutes=1))  # came later, and is not in it
    for revision in (1, 2):
        assert reproduce_revision(context, "topic", revision).kind == "identical"
    with monkeypatch.context() as other_release:
        other_release.setattr("pipelines.memory.build.WEIGHING", 1)
        by_other_rules = reproduce_revision(context, "topic", 2)
    assert "by other rules of weighing (3; here 1)" in by_other_rules.reasons[0]
    with context.engine.begin() as connection:
        connection.execute(feedback.update().values(label="label09"))
    changed = reproduce_revision(context, "topic", 2)
    assert changed.kind == "different" and "labels give digest" in changed.reasons[0]
    with pytest.raises(UnknownVersion, match="a revision of the memory of topic"):
        reproduce_revision(context, "topic", 3)
