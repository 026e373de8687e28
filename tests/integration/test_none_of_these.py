""" "None of these" is stored, and nothing takes it for a label."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Any

import pandas as pd
import pytest
from sqlalchemy.engine import Connection, Engine

from core.contracts import ModelVersion
from core.errors import InvalidFeedback
from core.feedback import NONE_OF_THESE, record_feedback
from core.memory_revisions import MemoryRevision
from core.tables.loop import inference
from monitoring.drift.corrections import count_corrections
from monitoring.drift.label_evidence import read_label_evidence
from monitoring.drift.labelled import phrases_with_feedback
from monitoring.labels.feedback import feedback_rows
from monitoring.labels.received import labels_since, received_labels
from monitoring.labels.unselected import unselected_requests
from monitoring.performance.quality import quality_over_time, recent_quality
from monitoring.standing import _labels_wait
from monitoring.windows.learnt import learnt_requests
from pipelines.memory.store import no_source_labels
from tests.support.inferences import inference as logged
from tests.support.performances import performance_by_version

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)
ORGAN: dict[str, Any] = {"classifier": "organ"}
VERSION = {**ORGAN, "version": "1"}
CHAMPION = ModelVersion("organ", "1", "", "", "tiny-1")
REFERENCE = pd.DataFrame({"weight": [1.0], "confidence": [0.75]})
EMPTY_MEMORY = MemoryRevision(
    "organ", 1, NOW - timedelta(1), NOW - timedelta(1), "", "", "", None, None, 0, 0, True, "test"
)


@pytest.fixture
def connection(engine: Engine) -> Iterator[Connection]:
    with engine.connect() as connection:
        row = logged(1, occurred_at=NOW - timedelta(days=1))
        connection.execute(inference.insert(), asdict(row))
        yield connection


def say(connection: Connection, label: str, kind: str, *, now: datetime = NOW) -> None:
    record_feedback(
        connection,
        request_id="request-1",
        label=label,
        author="ada",
        received_at=now,
        kind=kind,
        probability=0.5 if kind == "sample" else None,
    )


def _evidence(connection: Connection) -> int:
    found = read_label_evidence(
        connection,
        CHAMPION,
        reference=REFERENCE,
        source=lambda _: no_source_labels(),
        false_calls=1,
        now=LATER,
    )
    return found is not None


def _performance(connection: Connection) -> int:
    connection.commit()
    return performance_by_version(connection.engine, "organ")["1"].labelled


def _quality(connection: Connection) -> int:
    connection.commit()
    return quality_over_time(connection.engine, **ORGAN, now=LATER)[0].labelled


READERS: dict[str, Callable[[Connection], Any]] = {
    "snapshot": lambda c: (
        feedback_rows(c, label_columns={"organ": "organ"}, received_by=LATER).num_rows
    ),
    "memory": lambda c: len(received_labels(c, classifier="organ", received_by=LATER)),
    "memory due": lambda c: labels_since(c, **ORGAN, revision=EMPTY_MEMORY, now=LATER),
    "labelled phrases": lambda c: phrases_with_feedback(c, "organ", after=0),
    "gate": lambda c: unselected_requests(c, "organ"),
    "performance": _performance,
    "quality": _quality,
    "status": lambda c: recent_quality(c, **VERSION).labelled,  # type: ignore[union-attr]
    "waiting labels": lambda c: _labels_wait(c, "organ", "1"),
    "label bets": _evidence,
    "learnt": lambda c: learnt_requests(c, **ORGAN, as_of=LATER, request_ids=["request-1"]),
}


@pytest.mark.parametrize("reader", READERS)
def test_no_reader_takes_it_for_a_label(connection: Connection, reader: str) -> None:
    say(connection, "", NONE_OF_THESE)
    assert not READERS[reader](connection)
    say(connection, "lung", "sample", now=NOW + timedelta(minutes=1))
    assert READERS[reader](connection)


def test_it_is_not_a_correction(connection: Connection) -> None:
    say(connection, "", NONE_OF_THESE)
    assert count_corrections(connection, "organ", now=LATER).now == 0
    say(connection, "lung", "correction", now=NOW + timedelta(minutes=1))
    assert count_corrections(connection, "organ", now=LATER).now == 1


def test_it_takes_back_the_label_of_its_answer(connection: Connection) -> None:
    say(connection, "lung", "correction")
    say(connection, "", NONE_OF_THESE, now=NOW + timedelta(minutes=1))
    assert not READERS["snapshot"](connection)
    assert not READERS["performance"](connection)


@pytest.mark.parametrize(("label", "kind"), [("lung", NONE_OF_THESE), ("", "correction")])
def test_a_label_and_none_exclude_each_other(connection: Connection, label: str, kind: str) -> None:
    with pytest.raises(InvalidFeedback):
        say(connection, label, kind)
