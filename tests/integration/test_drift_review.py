"""What the next watch says after a person answered, and after a gate that kept the champion."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Engine

from core.contracts import Verdict
from core.decisions import record_decision
from core.errors import InvalidReview
from core.feedback import record_feedback
from core.memory_revisions import MemoryRevision
from core.params.schema import ClassifierParams
from core.tables.loop import decision, drift_report, inference
from monitoring.drift.budget import Budget
from monitoring.drift.corrections import count_corrections
from monitoring.drift.label_requests import open_request
from monitoring.drift.labelled import phrases_with_feedback
from monitoring.drift.reviewing import find_window, review_window
from monitoring.drift.reviews import Review, alarm_precision, newest_reviews
from monitoring.drift.unanswered import drift_to_learn, open_drift
from monitoring.drift.watching import watch_classifier
from monitoring.labels.feedback import feedback_rows
from monitoring.labels.received import labels_since, received_labels
from monitoring.labels.unselected import unselected_requests
from monitoring.retraining import drift_start
from monitoring.windows.reports import read_reports
from pipelines.gate.drifted import UnlearntDrift
from tests.support.traffic import (
    START,
    embed_words,
    log,
    make_answering_head,
    promote,
    store_model,
    traffic,
)

NOW = datetime(2027, 6, 1, tzinfo=UTC)
WINDOW = 500
LIVE = START + timedelta(days=60)
MOVED = 0.4
DAY = timedelta(days=1)


@dataclass
class Loop:
    """Version 1 of `topic` is champion; `answer` goes on where the traffic before ended."""

    engine: Engine
    folder: Path
    least_share: float = 0.0
    now: datetime = NOW
    _next: datetime = LIVE
    _parts: int = 0
    ids: dict[int, list[str]] = field(default_factory=dict)

    def deploy(self, version: str, reference: pd.DataFrame) -> None:
        head = make_answering_head() if version != "1" else None
        model = store_model(
            self.folder, classifier="topic", version=version, reference=reference, head=head
        )
        with self.engine.begin() as connection:
            promote(connection, model)

    def answer(self, windows: int = 1, *, version: str = "1", **how: float) -> None:
        for _ in range(windows):
            self._parts += 1
            rows = traffic(days=12, a_day=60, seed=100 + self._parts, start=self._next, **how)
            rows = rows.head(WINDOW)
            self._next = rows["occurred_at"].iloc[-1] + timedelta(minutes=1)
            with self.engine.begin() as connection:
                self.ids[self._parts] = log(
                    connection, rows, classifier="topic", version=version, prefix=f"w{self._parts}"
                )

    def watch(self) -> Verdict:
        self.now += DAY
        drift = {"window_rows": WINDOW, "window_days": 30, "min_labelled_share": self.least_share}
        block = {"source": {"query": "queries/topics.sql", "label": "topic"}, "drift": drift}
        return watch_classifier(
            self.engine,
            classifier="topic",
            block=ClassifierParams.model_validate(block),
            models=self.folder,
            reports=self.folder / "reports",
            embed=embed_words,
            now=self.now,
            seed=7,
            false_alarms=Budget(2.0),
        )

    def review(self, window: int, verdict: str, *, action: str = "", note: str = "") -> None:
        self.now += DAY
        review = Review(window, verdict, "ann", note, self.now)
        with self.engine.begin() as connection:
            report = find_window(connection, "topic", window)
            assert report is not None
            review_window(connection, review, report, classifier="topic", action=action)

    def gate(self, kind: str, *, version: str = "2") -> None:
        self.now += DAY
        verdict = Verdict(kind, (), {"version": version})
        with self.engine.begin() as connection:
            record_decision(
                connection, verdict, classifier="topic", subject="gate", decided_at=self.now
            )

    def label(self, ids: list[str], label: str = "label01", *, kind: str = "correction") -> None:
        self.now += DAY
        with self.engine.begin() as connection:
            for request_id in ids:
                record_feedback(
                    connection,
                    request_id=request_id,
                    label=label,
                    author="desk",
                    received_at=self.now,
                    kind=kind,
                    probability=0.1 if kind == "sample" else None,
                )

    def to_learn(self, *, since: datetime) -> UnlearntDrift | None:
        with self.engine.connect() as connection:
            return drift_to_learn(connection, "topic", since=since, now=self.now)

    def windows(self) -> list[tuple[str, int | None]]:
        """Verdict and accepted traffic of every reported window."""
        query = sa.select(drift_report.c.verdict, drift_report.c.accepted_window)
        with self.engine.connect() as connection:
            return [tuple(row) for row in connection.execute(query.order_by(drift_report.c.id))]

    def is_open(self) -> bool:
        with self.engine.connect() as connection:
            return open_drift(connection, "topic", now=self.now) is not None


@pytest.fixture
def loop(engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Loop:
    """Reports cost seconds and are not written."""
    monkeypatch.setattr(
        "monitoring.windows.files.write_report",
        lambda *_, file, **__: file.parent.mkdir(parents=True, exist_ok=True),
    )
    loop = Loop(engine, tmp_path)
    loop.deploy("1", traffic(days=60, a_day=60, seed=1))
    return loop


@pytest.fixture
def drifted(loop: Loop) -> Loop:
    """Window 1 is a warning, window 2 a drift that no gate has answered."""
    loop.answer(2, moved=MOVED)
    assert loop.watch().kind == "drift"
    assert loop.is_open()
    return loop


def test_expected_traffic_is_steady_from_the_next_window_on(drifted: Loop) -> None:
    """By likeness first; from six windows on its own past judges it."""
    drifted.review(2, "expected")
    assert not drifted.is_open()
    drifted.answer(7, moved=MOVED)
    verdict = drifted.watch()
    assert verdict.kind == "steady"
    assert drifted.windows()[2:] == [("steady", 2)] * 7
    assert "like window 2: ann called window 2 expected" in verdict.reasons[0]
    heights = [max(window["z"].values()) for window in verdict.evidence["windows"]]
    assert heights[0] > 6, "beside the champion's past it is far"
    assert heights[-1] < 3, "beside its own it is not"


def test_a_drift_begins_with_its_first_window_though_another_watch_judged_it(loop: Loop) -> None:
    """Watches come hourly: most judge one window. Labels come late: later gates learn the drift."""
    loop.answer(2)
    assert loop.watch().kind == "steady"
    loop.answer(1, moved=MOVED)
    assert loop.watch().kind == "warning"
    fitted_at = loop.now
    loop.answer(1, moved=MOVED)
    verdict = loop.watch()
    with loop.engine.connect() as connection:
        first = read_reports(connection, classifier="topic")[2].window_start
    assert (verdict.kind, drift_start(verdict.evidence)) == ("drift", first)

    assert loop.to_learn(since=fitted_at) == UnlearntDrift(first, unanswered=True)
    loop.gate("wait")
    assert loop.to_learn(since=fitted_at) == UnlearntDrift(first, unanswered=True)
    loop.gate("undecided")
    assert loop.to_learn(since=fitted_at) == UnlearntDrift(first, unanswered=False)
    assert loop.to_learn(since=loop.now) is None, "a champion of later has learnt it"
    loop.review(4, "harmless")
    assert loop.to_learn(since=fitted_at) is None
    loop.review(4, "real", action="retrain")
    assert loop.to_learn(since=fitted_at) == UnlearntDrift(first, unanswered=True)


def test_a_harmless_alarm_is_not_the_beginning_of_a_drift(loop: Loop) -> None:
    loop.answer(1, moved=MOVED)
    loop.watch()
    loop.review(1, "harmless")
    loop.answer(1, moved=MOVED)
    verdict = loop.watch()
    with loop.engine.connect() as connection:
        second = read_reports(connection, classifier="topic")[1].window_start
    assert drift_start(verdict.evidence) == second


def test_what_was_called_of_expected_traffic_is_closed(loop: Loop) -> None:
    """Window 1 is a warning of the traffic that window 2 called."""
    loop.answer(1, moved=0.5)
    loop.answer(1, moved=0.4)
    assert loop.watch().kind == "drift"
    loop.review(1, "expected")
    assert not loop.is_open()


def test_a_further_change_of_expected_traffic_is_called(drifted: Loop) -> None:
    drifted.review(2, "expected")
    drifted.answer(2, moved=MOVED)
    drifted.answer(2, moved=0.9)
    assert drifted.watch().kind == "drift"
    assert [verdict for verdict, _ in drifted.windows()[2:]] == [
        "steady",
        "steady",
        "warning",
        "drift",
    ]


def test_a_smaller_change_is_called_once_expected_traffic_has_a_past(drifted: Loop) -> None:
    """Before, it passes for the expected traffic: that is what six windows without a past cost."""
    drifted.review(2, "expected")
    drifted.answer(1, moved=0.52)
    assert drifted.watch().kind == "steady"
    drifted.answer(7, moved=MOVED)
    drifted.answer(2, moved=0.62)
    verdict = drifted.watch()
    assert verdict.kind == "drift"
    assert 3 < max(verdict.evidence["z"].values()) < 15


def test_the_traffic_of_before_stays_normal(drifted: Loop) -> None:
    drifted.review(2, "expected")
    drifted.answer(2)
    assert drifted.watch().kind == "steady"
    assert drifted.windows()[2:] == [("steady", None)] * 2
    drifted.answer(2, moved=MOVED)
    assert drifted.watch().kind == "steady", "and what was expected, too"
    assert drifted.windows()[4:] == [("steady", 2)] * 2


def test_expected_traffic_is_normal_for_a_later_champion(drifted: Loop) -> None:
    drifted.review(2, "expected")
    drifted.deploy("2", traffic(days=60, a_day=60, seed=3))
    drifted.answer(2, version="2", moved=MOVED)
    assert drifted.watch().kind == "steady"
    assert drifted.windows()[2:] == [("steady", 2)] * 2


def test_a_withdrawn_expectation_is_normal_no_longer(drifted: Loop) -> None:
    drifted.review(2, "expected")
    drifted.answer(1, moved=MOVED)
    drifted.watch()
    drifted.review(2, "harmless")
    drifted.answer(2, moved=MOVED)
    assert drifted.watch().kind == "drift"


def test_a_harmless_cause_is_not_called_again_unless_it_grows(drifted: Loop) -> None:
    drifted.review(2, "harmless")
    assert not drifted.is_open()
    drifted.deploy("2", traffic(days=60, a_day=60, seed=1))
    drifted.deploy("1", traffic(days=60, a_day=60, seed=1))
    drifted.answer(2, moved=MOVED)
    again = drifted.watch()
    assert again.kind == "warning"
    assert "harmless was called at window 2" in again.reasons[-1]
    drifted.answer(1, moved=0.9)
    assert drifted.watch().kind == "drift"


def test_harmless_traffic_does_not_become_normal(drifted: Loop) -> None:
    drifted.review(2, "harmless")
    drifted.gate("keep")
    drifted.answer(8, moved=MOVED)
    drifted.watch()
    assert drifted.windows()[2:] == [("warning", None)] * 8


def test_a_fault_is_as_if_its_window_had_not_been(loop: Loop) -> None:
    """The alarm before it is forgotten, too: the next one is the first."""
    loop.answer(1, moved=MOVED)
    assert loop.watch().kind == "warning"
    loop.review(1, "fault")
    loop.answer(1, moved=MOVED)
    assert loop.watch().kind == "warning"
    loop.answer(1, moved=MOVED)
    assert loop.watch().kind == "drift"


def test_a_fault_closes_the_drift_and_never_joins_what_is_normal(loop: Loop) -> None:
    loop.answer(1)
    loop.answer(2, moved=MOVED)
    loop.watch()
    assert loop.is_open()
    loop.review(3, "fault")
    loop.review(1, "fault")
    assert not loop.is_open()
    with loop.engine.connect() as connection:
        from monitoring.drift.reviewed import read_reviewed

        reviewed = read_reviewed(connection, "topic")
    assert [report.window_number for report in reviewed.reports] == [2]


def test_labels_of_a_fault_reach_no_training_memory_or_test(drifted: Loop) -> None:
    """Until it is withdrawn; what was made before it can still be made again."""
    faulty, sound = drifted.ids[2][:5], drifted.ids[1][:5]
    drifted.label([*faulty, *sound], kind="sample")
    before = drifted.now
    drifted.review(2, "fault")

    def used(by: datetime) -> list[set[str]]:
        with drifted.engine.connect() as connection:
            rows = feedback_rows(connection, label_columns={"topic": "t"}, received_by=by)
            received = received_labels(connection, classifier="topic", received_by=by)
        return [set(rows["id"].to_pylist()), set(received["request_id"])]

    assert used(before) == [{*faulty, *sound}] * 2
    assert used(drifted.now) == [set(sound)] * 2
    with drifted.engine.connect() as connection:
        assert unselected_requests(connection, "topic") == set(sound)
        cleaned = set(
            connection.scalars(
                sa.select(inference.c.cleaned).where(inference.c.request_id.in_(sound))
            )
        )
        assert phrases_with_feedback(connection, "topic", after=0) == cleaned
        revision = MemoryRevision(
            "topic", 1, before, before, "", "", "", None, 10**6, 0, 0, True, ""
        )

        def due(now: datetime) -> bool:
            return labels_since(connection, classifier="topic", revision=revision, now=now)

        assert due(drifted.now)
        assert not due(before)
    drifted.review(2, "harmless")
    assert used(drifted.now) == [{*faulty, *sound}] * 2


def test_corrections_of_a_fault_ask_for_no_sample(drifted: Loop) -> None:
    drifted.label(drifted.ids[2][:40])
    with drifted.engine.connect() as connection:
        assert count_corrections(connection, "topic", now=drifted.now).now > 10
    drifted.review(2, "fault")
    with drifted.engine.connect() as connection:
        assert count_corrections(connection, "topic", now=drifted.now).now == 0


def test_a_real_drift_retrains_and_is_called_until_a_gate_answers_it(loop: Loop) -> None:
    loop.answer(1, moved=MOVED)
    assert loop.watch().kind == "warning"
    assert not loop.is_open()
    loop.review(1, "real", action="retrain", note="a new ward")
    assert loop.is_open()
    with loop.engine.connect() as connection:
        called = open_drift(connection, "topic", now=loop.now)
    assert called is not None
    assert called.reasons == ("ann called window 1 real",)
    assert called.evidence["windows"][0]["alarms"]
    loop.gate("promote")
    assert not loop.is_open()


def test_a_real_drift_asks_for_labels_and_is_called_when_they_came(loop: Loop) -> None:
    loop.least_share = 0.3
    loop.deploy("1", traffic(days=60, a_day=60, seed=1))
    loop.answer(1, moved=MOVED, garbled=0.4)
    assert loop.watch().kind == "warning"
    loop.review(1, "real", action="labels")
    waiting = loop.watch()
    assert waiting.evidence["label_requests"]
    assert "labels are asked for" in waiting.reasons[0]
    loop.label(loop.ids[1], kind="confirmation")
    due = loop.watch()
    assert (due.kind, due.evidence["due"]["window"]) == ("drift", 1)


@pytest.mark.parametrize(
    ("verdict", "action", "note"),
    [
        ("nonsense", "", ""),
        ("real", "", ""),
        ("real", "nonsense", ""),
        ("harmless", "", "x" * 2001),
        ("harmless", "", "\x00"),
    ],
)
def test_a_review_that_says_nothing_is_refused(
    drifted: Loop, verdict: str, action: str, note: str
) -> None:
    with pytest.raises(InvalidReview):
        drifted.review(2, verdict, action=action, note=note)
    with drifted.engine.connect() as connection:
        assert newest_reviews(connection, "topic") == {}


def test_the_share_of_real_alarms_is_counted_by_statistic(drifted: Loop) -> None:
    drifted.review(1, "harmless")
    drifted.review(2, "harmless")
    drifted.review(2, "real", action="retrain")
    with drifted.engine.connect() as connection:
        counts = {row.statistic: row for row in alarm_precision(connection, "topic")}
    assert (counts["label_shares"].real, counts["label_shares"].reviewed) == (1, 2)
    assert counts["label_shares"].share == 0.5


def test_a_drift_that_a_gate_answered_by_keep_becomes_normal(drifted: Loop) -> None:
    """A fit that had seen it was no better: the champion answers such traffic well."""
    drifted.gate("keep")
    drifted.answer(7, moved=MOVED)
    assert drifted.watch().kind == "steady"
    assert drifted.windows()[2:] == [("steady", 2)] * 7
    drifted.answer(2, moved=0.62)
    assert drifted.watch().kind == "drift"


def test_after_a_calm_window_what_looks_like_kept_traffic_is_called(drifted: Loop) -> None:
    """Another cause can move the same statistics; nobody said that this traffic comes back."""
    drifted.gate("keep")
    drifted.answer(1, moved=MOVED)
    drifted.answer(1)
    drifted.answer(1, moved=MOVED)
    assert drifted.watch().kind == "warning"
    drifted.answer(1, moved=MOVED)
    assert drifted.watch().kind == "drift"
    assert drifted.windows()[2:] == [
        ("steady", 2),
        ("steady", None),
        ("warning", None),
        ("drift", None),
    ]


def test_kept_traffic_that_comes_and_goes_gets_a_past_of_its_own(drifted: Loop) -> None:
    """A customer who sends every other week: each call joins the windows before it."""
    drifted.gate("keep")
    verdicts = []
    for _ in range(4):
        drifted.answer(1)
        drifted.answer(2, moved=MOVED)
        verdicts.append(drifted.watch().kind)
        drifted.gate("keep")
        drifted.answer(1, moved=MOVED)
        drifted.watch()
    assert verdicts[0] == "drift" and verdicts[-1] == "steady"
    assert {number for _, number in drifted.windows()[2:]} <= {None, 2}


@pytest.mark.parametrize("at_once", [True, False])
def test_a_window_is_judged_alike_by_one_watch_and_by_several(drifted: Loop, at_once: bool) -> None:
    drifted.gate("keep")
    for moved in (MOVED, 0.9, MOVED, MOVED):
        drifted.answer(1, moved=moved)
        if not at_once:
            drifted.watch()
    drifted.watch()
    assert [kind for kind, _ in drifted.windows()[2:]] == ["steady", "warning", "drift", "warning"]


def test_what_passed_by_likeness_may_be_expected(drifted: Loop) -> None:
    drifted.gate("keep")
    drifted.answer(1, moved=MOVED)
    drifted.watch()
    drifted.review(3, "expected")
    drifted.answer(1)
    drifted.answer(2, moved=MOVED)
    assert drifted.watch().kind == "steady"


def test_kept_traffic_with_a_past_of_its_own_may_come_back(drifted: Loop) -> None:
    drifted.gate("keep")
    drifted.answer(7, moved=MOVED)
    drifted.answer(1)
    drifted.answer(2, moved=MOVED)
    assert drifted.watch().kind == "steady"
    assert drifted.windows()[-3:] == [("steady", None), ("steady", 2), ("steady", 2)]


@pytest.mark.parametrize("kind", ["undecided", "reject", "hold"])
def test_after_another_verdict_of_the_gate_it_does_not(drifted: Loop, kind: str) -> None:
    drifted.gate(kind)
    drifted.gate("keep")
    drifted.answer(1, moved=MOVED)
    assert drifted.watch().kind == "warning"


def new_topic(loop: Loop, windows: int) -> None:
    """Two fifths of the traffic are one of twenty phrases that nobody has labelled."""
    for _ in range(windows):
        loop._parts += 1
        rows = traffic(days=12, a_day=60, seed=200 + loop._parts, start=loop._next).head(WINDOW)
        loop._next = rows["occurred_at"].iloc[-1] + timedelta(minutes=1)
        random = np.random.default_rng(loop._parts)
        moved = random.random(len(rows)) < MOVED
        phrases = [f"odd{number} strange" for number in random.integers(0, 20, len(rows))]
        rows = rows.assign(
            cleaned=np.where(moved, phrases, rows["cleaned"]),
            confidence=np.where(moved, 0.3, rows["confidence"]),
        )
        with loop.engine.begin() as connection:
            loop.ids[loop._parts] = log(
                connection, rows, classifier="topic", version="1", prefix=f"w{loop._parts}"
            )


def test_a_request_that_a_scheduled_retraining_answered_is_not_called_again(loop: Loop) -> None:
    loop.least_share = 0.3
    new_topic(loop, 2)
    assert loop.watch().kind == "needs_labels"
    loop.gate("keep")
    loop.label(loop.ids[2], kind="confirmation")
    loop.gate("keep")
    learnt_at = loop.now
    after = loop.watch()
    assert after.kind == "insufficient"
    assert f"the retraining of {learnt_at:%Y-%m-%d %H:%M} learnt them" in "; ".join(after.reasons)
    with loop.engine.connect() as connection:
        newest = connection.execute(
            sa.select(decision.c.kind, decision.c.decided_at)
            .where(decision.c.subject == "drift")
            .order_by(decision.c.id.desc())
            .limit(1)
        ).one()
        assert tuple(newest) == ("drift", learnt_at)
        assert open_request(connection, "topic") is None
    assert not loop.is_open()


def test_a_request_after_a_drift_of_the_same_watch_is_not_lost(loop: Loop) -> None:
    """Windows 1 and 2 are of known labels, windows 4 and 5 of a topic that nobody labelled."""
    loop.least_share = 0.3
    loop.answer(2, moved=0.6)
    loop.label([*loop.ids[1], *loop.ids[2]], kind="confirmation")
    loop.answer(1)
    new_topic(loop, 2)
    verdict = loop.watch()
    assert [kind for kind, _ in loop.windows()] == [
        "warning",
        "drift",
        "steady",
        "warning",
        "needs_labels",
    ]
    assert verdict.kind == "drift"
    assert loop.is_open()
    with loop.engine.connect() as connection:
        request = open_request(connection, "topic")
    assert request is not None and request.window == 5
    loop.gate("promote")
    assert "labels are asked for" in "; ".join(loop.watch().reasons)
