"""A drift without labels asks for them, and retrains once they came; broken clients are named."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Engine

from core.contracts import Verdict
from core.decisions import record_decision
from core.feedback import record_feedback
from core.params.schema import ClassifierParams
from core.tables.loop import decision, drift_report, inference
from monitoring.drift.budget import Budget
from monitoring.drift.label_bets import LabelTest
from monitoring.drift.label_evidence import LabelEvidence, Worsening
from monitoring.drift.label_requests import due_windows
from monitoring.drift.watching import watch_classifier
from monitoring.windows.reports import drift_began, read_reports
from tests.support.traffic import START, embed_words, log, promote, store_model, traffic

NOW = datetime(2027, 6, 1, tzinfo=UTC)
WINDOW = 500
LIVE = START + timedelta(days=60)
BLOCK = ClassifierParams.model_validate(
    {
        "source": {"query": "queries/topics.sql", "label": "topic"},
        "drift": {"window_rows": WINDOW, "window_days": 30},
    }
)
Watch = Callable[[], Verdict]


@pytest.fixture
def watch(engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Watch:
    """Version 1 of `topic` is champion. Reports cost seconds and are not written."""
    monkeypatch.setattr(
        "monitoring.windows.files.write_report",
        lambda *_, file, **__: file.parent.mkdir(parents=True, exist_ok=True),
    )
    reference = traffic(days=60, a_day=60, seed=1)
    model = store_model(tmp_path / "models", classifier="topic", version="1", reference=reference)
    with engine.begin() as connection:
        promote(connection, model)

    def watch_once() -> Verdict:
        return watch_classifier(
            engine,
            classifier="topic",
            block=BLOCK,
            models=tmp_path / "models",
            reports=tmp_path / "reports",
            embed=embed_words,
            now=NOW,
            seed=7,
            false_alarms=Budget(2.0),
        )

    return watch_once


def answer(engine: Engine, rows: pd.DataFrame, *, prefix: str) -> list[str]:
    with engine.begin() as connection:
        return log(connection, rows, classifier="topic", version="1", prefix=prefix)


def new_topic(windows: int, *, seed: int = 12, start: datetime = LIVE) -> pd.DataFrame:
    """Traffic of which two fifths are one of twenty phrases that nobody has labelled."""
    rows = traffic(days=windows * 10 + 3, a_day=60, seed=seed, start=start).head(windows * WINDOW)
    random = np.random.default_rng(seed)
    moved = random.random(len(rows)) < 0.4
    phrases = [f"odd{number} strange" for number in random.integers(0, 20, len(rows))]
    return rows.assign(
        cleaned=np.where(moved, phrases, rows["cleaned"]),
        confidence=np.where(moved, 0.3, rows["confidence"]),
    )


def label(engine: Engine, phrases: int) -> None:
    """Label one answer of each of the first `phrases` odd phrases."""
    with engine.begin() as connection:
        for number in range(phrases):
            request_id = connection.scalar(
                sa.select(inference.c.request_id)
                .where(inference.c.cleaned == f"odd{number} strange")
                .limit(1)
            )
            assert request_id is not None
            record_feedback(
                connection, request_id=request_id, label="label01", author="desk", received_at=NOW
            )


def decisions(engine: Engine) -> list[str]:
    with engine.connect() as connection:
        return list(connection.scalars(sa.select(decision.c.kind).order_by(decision.c.id)))


def test_a_drift_without_labels_asks_for_those_that_help_most(engine: Engine, watch: Watch) -> None:
    answer(engine, new_topic(2), prefix="a")
    verdict = watch()
    assert verdict.kind == "needs_labels"
    requests = verdict.evidence["label_requests"]
    assert len(requests) == 20
    assert {row["phrase"].split()[1] for row in requests} == {"strange"}
    assert requests[0]["rows"] >= requests[-1]["rows"] > 1
    assert "a retraining needs 30 %" in verdict.reasons[-1]


def test_a_request_falls_due_when_enough_labels_came(engine: Engine, watch: Watch) -> None:
    """Once, and a version that is fitted then has learnt the drift."""
    answer(engine, new_topic(2), prefix="a")
    watch()
    label(engine, 3)
    waiting = watch()
    still = {row["phrase"] for row in waiting.evidence["label_requests"]}
    assert (waiting.kind, "odd3 strange" in still) == ("insufficient", True)
    assert not still & {"odd0 strange", "odd1 strange", "odd2 strange"}
    assert "labels are asked for" in waiting.reasons[0]
    label(engine, 15)
    due = watch()
    assert (due.kind, due.evidence["due"]["window"]) == ("drift", 2)
    assert "the labels asked for at window 2 have come" in due.reasons[0]
    assert watch().kind == "insufficient"
    assert decisions(engine) == ["needs_labels", "drift"]
    with engine.connect() as connection:
        reports = read_reports(connection, classifier="topic")
        decided_at = connection.scalar(sa.select(sa.func.max(decision.c.decided_at)))
        windows = due_windows(connection, "topic", by=decided_at)
        assert due_windows(connection, "topic", by=decided_at - timedelta(minutes=1)) == set()
        assert due_windows(connection, "topic", by=None) == set()
    assert drift_began(reports, before="2") is None
    assert drift_began(reports, before="2", due=windows) == reports[0].window_start


def test_a_drift_that_labels_called_leaves_the_request_open(engine: Engine, watch: Watch) -> None:
    answer(engine, new_topic(2), prefix="a")
    watch()
    by_labels = LabelEvidence(
        LabelTest(100, 0.4, 0.1, 1e6, 90), 100.0, Worsening(NOW, NOW, 100, 0.4)
    ).verdict()
    assert by_labels is not None
    with engine.begin() as connection:
        record_decision(connection, by_labels, classifier="topic", subject="drift", decided_at=NOW)
    assert len(watch().evidence["label_requests"]) == 20
    label(engine, 18)
    assert watch().evidence["due"]["window"] == 2


def test_the_same_cause_asks_once(engine: Engine, watch: Watch) -> None:
    answer(engine, new_topic(2), prefix="a")
    watch()
    later = LIVE + timedelta(days=30)
    answer(engine, new_topic(2, seed=13, start=later), prefix="b")
    again = watch()
    assert again.kind == "warning"
    assert "labels are asked for" in again.reasons[0]
    assert decisions(engine) == ["needs_labels", "warning"]


def test_a_request_lapses_when_the_traffic_is_calm_again(engine: Engine, watch: Watch) -> None:
    answer(engine, new_topic(2), prefix="a")
    watch()
    calm = traffic(days=15, a_day=60, seed=11, start=LIVE + timedelta(days=30)).head(WINDOW)
    answer(engine, calm, prefix="b")
    label(engine, 20)
    assert watch().kind == "steady"


def test_a_window_that_cannot_be_judged_leaves_the_request_open(
    engine: Engine, watch: Watch
) -> None:
    answer(engine, new_topic(2), prefix="a")
    watch()
    unjudged = {"verdict": "insufficient", "statistics": {}, "alarms": []}
    with engine.begin() as connection:
        newest = connection.execute(
            sa.select(drift_report).order_by(drift_report.c.id.desc()).limit(1)
        )
        row = {name: value for name, value in newest.mappings().one().items() if name != "id"}
        number = row["window_number"] + 1
        connection.execute(drift_report.insert(), {**row, **unjudged, "window_number": number})
    assert "labels are asked for" in watch().reasons[0]


@pytest.mark.parametrize("damage", ["mojibake", "cut"])
def test_a_broken_client_is_named_and_retrains_nothing(
    engine: Engine, watch: Watch, damage: str
) -> None:
    rows = traffic(days=25, a_day=60, seed=11, start=LIVE).head(2 * WINDOW)
    broken = np.random.default_rng(3).random(len(rows)) < 0.3
    damaged = (
        rows["cleaned"].str.replace("w", "\u00c3\u00a9")
        if damage == "mojibake"
        else rows["cleaned"].str[:5]
    )
    answer(
        engine,
        rows.assign(
            cleaned=np.where(broken, damaged, rows["cleaned"]),
            confidence=np.where(broken, 0.3, rows["confidence"]),
            region=np.where(broken, "west", "east"),
        ),
        prefix="a",
    )
    verdict = watch()
    assert verdict.kind == "broken_client"
    with engine.connect() as connection:
        in_order = sa.select(drift_report.c.verdict).order_by(drift_report.c.window_number)
        kinds = list(connection.scalars(in_order))
    assert kinds == ["warning", "broken_client"]
    for reason in verdict.reasons:
        assert "a client sends damaged phrases" in reason
        assert "from region west" in reason


def test_a_client_with_a_wrong_clock_is_named(engine: Engine, watch: Watch) -> None:
    rows = traffic(days=15, a_day=60, seed=11, start=LIVE).head(WINDOW)
    behind = np.arange(len(rows)) % 7 == 3
    moments = rows["occurred_at"].where(~behind, rows["occurred_at"] - timedelta(days=365))
    answer(
        engine,
        rows.assign(occurred_at=moments, region=np.where(behind, "west", "east")),
        prefix="a",
    )
    verdict = watch()
    assert verdict.kind == "steady"
    assert "the clock of a client is off" in verdict.evidence["broken_client"]
    assert "the clock of a client is off" in verdict.reasons[0]
    assert "from region west" in verdict.reasons[0]
