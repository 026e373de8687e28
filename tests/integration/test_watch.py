import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Engine

from bentos.heads.routing import meets_canary
from core.contracts import LOADTEST_KEY, Verdict
from core.errors import HeadRefused
from core.params import ClassifierParams
from core.partitions import tidy_inference
from core.tables import decision, drift_report
from monitoring.performance import measure_performance
from monitoring.scoring import WindowScorer
from monitoring.watching import watch_classifier
from monitoring.windows import read_log, read_windows, tenures
from pipelines.model.head_file import save_head
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
BLOCK = ClassifierParams.model_validate(
    {"source": {"query": "queries/topics.sql", "label": "topic"}, "drift": {"window_rows": WINDOW}}
)


@dataclass
class Place:
    engine: Engine
    models: Path
    reports: Path

    def deploy(self, version: str, reference: pd.DataFrame | None) -> None:
        model = store_model(self.models, classifier="topic", version=version, reference=reference)
        with self.engine.begin() as connection:
            promote(connection, model)

    def answer(self, rows: pd.DataFrame, *, version: str = "1", prefix: str = "r") -> None:
        with self.engine.begin() as connection:
            log(connection, rows, classifier="topic", version=version, prefix=prefix)

    def watch(self, *, now: datetime = NOW) -> Verdict:
        return watch_classifier(
            self.engine,
            classifier="topic",
            block=BLOCK,
            models=self.models,
            reports=self.reports,
            embed=embed_words,
            now=now,
            seed=7,
        )

    def stored(self, table: sa.Table) -> list[dict[str, Any]]:
        with self.engine.connect() as connection:
            return [
                dict(row)
                for row in connection.execute(sa.select(table).order_by(table.c.id)).mappings()
            ]


@pytest.fixture
def place(engine: Engine, tmp_path: Path) -> Place:
    """Version 1 of `topic` is champion, with sixty days of reference rows."""
    place = Place(engine, tmp_path / "models", tmp_path / "reports")
    place.deploy("1", traffic(days=60, a_day=60, seed=1))
    return place


@pytest.fixture
def no_evidently(monkeypatch: pytest.MonkeyPatch) -> None:
    """For tests of what is judged, not of what is shown: a report costs seconds."""
    monkeypatch.setattr(
        "monitoring.window_files.write_report",
        lambda *_, file, **__: file.parent.mkdir(parents=True, exist_ok=True),
    )


def live(windows: float, *, seed: int = 11, start: datetime = LIVE, **how: float) -> pd.DataFrame:
    rows = traffic(
        days=int(windows * WINDOW / 60 * 1.2) + 3, a_day=60, seed=seed, start=start, **how
    )
    return rows.head(int(windows * WINDOW))


def test_usual_traffic_is_steady_and_told_once(place: Place) -> None:
    place.answer(live(2.5))
    verdict = place.watch()
    assert verdict.kind == "steady"
    reports = place.stored(drift_report)
    columns = ("window_number", "rows", "verdict", "alarms")
    assert [tuple(row[name] for name in columns) for row in reports] == [
        (1, WINDOW, "steady", []),
        (2, WINDOW, "steady", []),
    ]
    assert set(reports[0]["statistics"]) == {
        "label_shares",
        "embeddings",
        "confidence",
        "low_confidence",
        "novelty_mean",
        "novelty_p90",
    }
    [told] = place.stored(decision)
    assert (told["subject"], told["kind"], told["decided_at"]) == ("drift", "steady", NOW)
    assert json.loads(json.dumps(told["evidence"])) == json.loads(json.dumps(verdict.evidence))
    assert place.watch().kind == "insufficient"
    assert (place.stored(drift_report), len(place.stored(decision))) == (reports, 1)


def test_moved_traffic_is_a_warning_and_then_drift(place: Place) -> None:
    usual = live(1)
    place.answer(usual, prefix="a")
    moved = live(
        2,
        seed=12,
        start=usual["occurred_at"].iloc[-1] + timedelta(seconds=1),
        moved=0.4,
        garbled=0.2,
    )
    place.answer(moved.head(WINDOW), prefix="b")
    first = place.watch()
    assert [window["verdict"] for window in first.evidence["windows"]] == ["steady", "warning"]
    assert first.kind == "warning"
    place.answer(moved.tail(WINDOW), prefix="c")
    second = place.watch()
    assert second.kind == "drift"
    assert {"label_shares", "low_confidence"} <= set(second.evidence["alarms"])
    rises = {row["label"]: row["now"] - row["before"] for row in second.evidence["moved_labels"]}
    assert rises["label00"] < 0
    assert any("odd" in row["phrase"] for row in second.evidence["novel_phrases"])
    assert [row["verdict"] for row in place.stored(drift_report)] == ["steady", "warning", "drift"]
    for kind in ("html", "json", "plot"):
        assert Path(second.evidence["report"][kind]).stat().st_size > 1000


@pytest.mark.usefixtures("no_evidently")
def test_windows_never_cross_champions(place: Place) -> None:
    """Version 1 answers one and a half windows, version 2 half of one, then version 1 again."""
    rows = live(4)
    place.answer(rows.iloc[:750], prefix="a")
    place.answer(rows.iloc[750:1000], version="2", prefix="b")
    place.answer(rows.iloc[1000:1600], prefix="c")
    with place.engine.connect() as connection:
        windows = read_windows(connection, classifier="topic", version="1", size=WINDOW)
    assert [(window.first, window.rows) for window in windows] == [(0, 500), (750, 500)]
    place.watch()
    spans = [(row["window_start"], row["window_end"]) for row in place.stored(drift_report)]
    assert spans == [(at(rows, 0), at(rows, 499)), (at(rows, 1000), at(rows, 1499))]


def test_workers_that_change_over_moments_apart_are_one_change(place: Place) -> None:
    rows = live(2).assign(version="1")
    place.answer(rows.iloc[:100], version="0", prefix="z")
    mixed = rows.iloc[100:160]
    place.answer(mixed.iloc[::2], version="0", prefix="y")
    place.answer(pd.concat([mixed.iloc[1::2], rows.iloc[160:700]]), prefix="a")
    with place.engine.connect() as connection:
        windows = read_windows(connection, classifier="topic", version="1", size=WINDOW)
    assert [(window.first, window.rows) for window in windows] == [(0, 500)]


def test_only_the_champions_answers_count(place: Place) -> None:
    rows = live(1)
    with place.engine.begin() as connection:
        log(connection, rows, classifier="topic", version="1", role="shadow")
        log(connection, rows, classifier="elsewhere", version="1", prefix="e")
    assert place.watch().kind == "insufficient"
    assert place.stored(drift_report) == []


@pytest.mark.usefixtures("no_evidently")
def test_a_canary_that_takes_phrases_away_does_not_look_like_drift(place: Place) -> None:
    """Version 2 answers half of the phrases, whatever their label, and always differently."""
    head = make_answering_head()
    said = WindowScorer(head, embed_words, phrases=[], seed=1).completed
    unsaid = {"label": None, "confidence": np.nan}
    reference = said(traffic(days=60, a_day=60, seed=1).assign(**unsaid))
    rows = said(live(2).assign(**unsaid))
    model = store_model(
        place.models, classifier="topic", version="1", reference=reference, head=head
    )
    taken = np.array(
        [
            meets_canary(phrase, classifier="topic", version="2", share=0.5)
            for phrase in rows["cleaned"]
        ]
    )
    with place.engine.begin() as connection:
        promote(connection, model)
        log(connection, rows[~taken], classifier="topic", version="1", prefix="a")
        log(
            connection,
            rows[taken].assign(label="label19", confidence=0.9),
            classifier="topic",
            version="2",
            role="canary",
            prefix="b",
        )
        log(
            connection,
            rows.head(1).assign(occurred_at=rows["occurred_at"].max()),
            classifier="topic",
            version="1",
            prefix="c",
        )
    verdict = place.watch()
    assert (verdict.kind, [window["rows"] for window in verdict.evidence["windows"]]) == (
        "steady",
        [WINDOW, WINDOW],
    )


@pytest.mark.usefixtures("no_evidently")
def test_a_canarys_answers_count_for_the_champion_beside_which_it_stood(place: Place) -> None:
    rows = live(2)
    place.answer(rows.iloc[:300:2], prefix="a")
    with place.engine.begin() as connection:
        log(
            connection,
            rows.iloc[1:300:2],
            classifier="topic",
            version="9",
            role="canary",
            prefix="b",
        )
        log(
            connection,
            rows.iloc[600:700],
            classifier="topic",
            version="9",
            role="canary",
            prefix="d",
        )
    place.answer(rows.iloc[300:600], version="2", prefix="c")
    with place.engine.connect() as connection:
        found = {
            version: tenures(connection, classifier="topic", version=version) for version in "129"
        }
        told = read_log(connection, classifier="topic", version="1")
    assert found == {"1": [299], "2": [300], "9": []}, (
        "a tenure ends with its champion's last answer"
    )
    assert told["label"].isna().sum() == told["probability"].isna().sum() == 149


def test_a_load_test_is_no_traffic(place: Place) -> None:
    rows = live(1)
    with place.engine.begin() as connection:
        log(
            connection,
            rows.tail(150),
            classifier="topic",
            version="2",
            prefix="o",
            key=f"{LOADTEST_KEY}1",
        )
        log(connection, rows, classifier="topic", version="1", prefix="l", key=f"{LOADTEST_KEY}2")
        log(
            connection,
            rows.iloc[::100],
            classifier="topic",
            version="1",
            prefix="k",
            key="a client",
        )
        assert tenures(connection, classifier="topic", version="1") == [5]
        assert measure_performance(connection, classifier="topic", version="1").answers == 5
    assert place.watch().kind == "insufficient"


def test_another_head_than_the_one_that_answers_judges_nothing(place: Place) -> None:
    place.answer(live(1))
    save_head(make_answering_head(), place.models / "topic" / "1")
    with pytest.raises(HeadRefused, match="another head"):
        place.watch()
    assert place.stored(drift_report) == []


def test_without_a_champion_there_is_nothing_to_judge(engine: Engine, tmp_path: Path) -> None:
    assert Place(engine, tmp_path, tmp_path).watch().kind == "insufficient"


@pytest.mark.usefixtures("no_evidently")
def test_without_reference_rows_the_first_windows_are_taken_on_trust(
    engine: Engine, tmp_path: Path
) -> None:
    """Windows of 100 then; after six of them the log is the pool."""
    place = Place(engine, tmp_path / "models", tmp_path / "reports")
    place.deploy("1", None)
    rows = live(2, garbled=0.0)
    place.answer(rows.iloc[:600], prefix="a")
    assert place.watch().kind == "insufficient"
    assert [row["verdict"] for row in place.stored(drift_report)] == ["insufficient"] * 6
    place.answer(rows.iloc[600:700].assign(confidence=0.2, cleaned="odd odder oddest"), prefix="b")
    assert place.watch().kind == "warning"


@pytest.mark.usefixtures("no_evidently")
def test_an_alarmed_window_never_becomes_normal(place: Place) -> None:
    """Eight alarmed windows: the ninth is held against the reference rows alone."""
    place.answer(live(8, moved=0.5))
    assert place.watch().kind == "drift"
    moved = live(9, moved=0.5).tail(WINDOW)
    place.answer(moved.assign(occurred_at=moved["occurred_at"] + timedelta(days=300)), prefix="b")
    verdict = place.watch()
    assert verdict.kind == "drift"
    assert verdict.evidence["normal_rows"] == len(
        pd.read_parquet(place.models / "topic/1/reference.parquet")
    )


@pytest.mark.usefixtures("no_evidently")
def test_steady_windows_become_normal(place: Place) -> None:
    place.answer(live(7))
    place.watch()
    [told] = place.stored(decision)
    calm = sum(row["verdict"] == "steady" for row in place.stored(drift_report))
    place.answer(live(1, seed=31, start=LIVE + timedelta(days=300)), prefix="b")
    reference = len(pd.read_parquet(place.models / "topic/1/reference.parquet"))
    assert calm >= 6
    assert place.watch().evidence["normal_rows"] == reference + calm * WINDOW
    assert told["evidence"]["windows"][0]["number"] == 1


@pytest.mark.usefixtures("no_evidently")
def test_a_version_that_learnt_a_drift_is_not_held_against_the_world_before_it(
    place: Place,
) -> None:
    """Version 2 learnt from sixty calm and twenty moved days: moved traffic is normal for it."""
    calm = live(1)
    moved = live(2.5, seed=12, start=LIVE + timedelta(days=20), moved=0.4)
    place.answer(calm, prefix="a")
    place.answer(moved, prefix="b")
    assert place.watch().kind == "drift"
    place.deploy(
        "2", pd.concat([traffic(days=60, a_day=60, seed=1), calm, moved], ignore_index=True)
    )
    after = live(3, seed=13, start=moved["occurred_at"].iloc[-1] + timedelta(days=1), moved=0.4)
    place.answer(after.head(900), version="2", prefix="c")
    verdict = place.watch()
    assert (verdict.evidence["version"], verdict.evidence["normal_rows"]) == ("2", len(moved))
    assert verdict.kind in ("steady", "warning")
    assert verdict.evidence["window_rows"] == len(moved) // 6


def at(rows: pd.DataFrame, number: int) -> datetime:
    return rows["occurred_at"].iloc[number].to_pydatetime()


@pytest.mark.usefixtures("no_evidently")
def test_answers_after_the_moment_are_not_judged(place: Place) -> None:
    rows = live(3)
    place.answer(rows)
    moment = rows["occurred_at"].iloc[2 * WINDOW - 1].to_pydatetime()
    place.watch(now=moment)
    assert [row["window_number"] for row in place.stored(drift_report)] == [1, 2]


@pytest.mark.usefixtures("no_evidently")
def test_windows_go_on_when_the_log_is_tidied(place: Place) -> None:
    """A month of 60 rows per day goes; its windows are reported and leave the baseline."""
    rows = live(12)
    place.answer(rows.iloc[: 8 * WINDOW], prefix="a")
    place.watch()
    tidy_inference(place.engine, now=at(rows, 8 * WINDOW), kept_months=1)
    with place.engine.connect() as connection:
        held = sum(tenures(connection, classifier="topic", version="1"))
    place.answer(rows.iloc[8 * WINDOW :], prefix="b")
    assert place.watch().kind != "insufficient"
    spans = [
        (row["window_number"], row["window_start"], row["window_end"])
        for row in place.stored(drift_report)
    ]
    assert held < 5 * WINDOW
    assert spans == [
        (number + 1, at(rows, number * WINDOW), at(rows, (number + 1) * WINDOW - 1))
        for number in range(12)
    ]


@pytest.mark.usefixtures("no_evidently")
def test_rows_that_come_late_shift_no_window(place: Place) -> None:
    rows = live(2)
    place.answer(rows.iloc[50:550], prefix="a")
    place.watch()
    place.answer(rows.iloc[:50], prefix="late")
    place.answer(rows.iloc[550:].assign(region="new"), prefix="b")
    assert place.watch().kind == "insufficient", "450 new rows are no window"
    more = live(1, seed=5, start=LIVE + timedelta(days=40)).head(50)
    place.answer(more, prefix="c")
    place.watch()
    spans = [(row["window_start"], row["window_end"]) for row in place.stored(drift_report)]
    assert spans == [(at(rows, 50), at(rows, 549)), (at(rows, 550), at(more, 49))]


@pytest.mark.usefixtures("no_evidently")
def test_a_window_may_end_amid_rows_of_one_moment(place: Place) -> None:
    """A batch shares its moment: what a window leaves of it begins the next."""
    rows = live(2)
    moment = rows["occurred_at"].iloc[400]
    rows.loc[400:699, "occurred_at"] = moment
    place.answer(rows.iloc[:700], prefix="r")
    place.watch()
    place.answer(rows.iloc[700:], prefix="t")
    place.watch()
    assert [(row["window_end"], row["last_request"]) for row in place.stored(drift_report)] == [
        (moment.to_pydatetime(), "r-000499"), (at(rows, 999), "t-000299"),
    ]  # fmt: skip


@pytest.mark.usefixtures("no_evidently")
def test_a_report_that_knows_no_last_row_ends_with_its_moment(place: Place) -> None:
    """As reports of earlier releases do."""
    rows = live(2)
    place.answer(rows.head(WINDOW), prefix="a")
    place.watch()
    with place.engine.begin() as connection:
        connection.execute(sa.update(drift_report).values(last_request=None))
    place.answer(rows.tail(WINDOW), prefix="b")
    evidence = place.watch().evidence
    assert [row["window_start"] for row in place.stored(drift_report)] == [
        at(rows, 0),
        at(rows, WINDOW),
    ]
    assert evidence["windows"][0]["number"] == 2


def test_a_canarys_answers_right_behind_a_window_belong_to_the_next(place: Place) -> None:
    rows = live(1)
    place.answer(rows.iloc[:100], prefix="a")
    with place.engine.begin() as connection:
        log(
            connection,
            rows.iloc[100:150],
            classifier="topic",
            version="9",
            role="canary",
            prefix="b",
        )
    place.answer(rows.iloc[150:300], prefix="c")
    place.answer(rows.iloc[300:400], version="2", prefix="d")
    place.answer(rows.iloc[400:], prefix="e")
    after = (at(rows, 99), "a-000099")
    with place.engine.connect() as connection:
        assert tenures(connection, classifier="topic", version="1", after=after) == [200, 100]
        assert len(read_log(connection, classifier="topic", version="1", after=after)) == 300
