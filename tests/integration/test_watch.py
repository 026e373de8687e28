import json
from concurrent.futures import ThreadPoolExecutor
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
from core.arrivals import newest_arrival
from core.contracts import LOADTEST_KEY, Verdict
from core.decisions import record_decision
from core.errors import HeadRefused
from core.feedback import record_feedback
from core.params.schema import ClassifierParams
from core.partitions import tidy_inference
from core.tables.loop import decision, drift_report, inference
from monitoring.drift.budget import Budget
from monitoring.drift.history import seen_windows
from monitoring.drift.power_reports import read_powers
from monitoring.drift.watching import watch_classifier
from monitoring.retraining import drift_start
from monitoring.windows.reports import read_reports
from monitoring.windows.scoring import WindowScorer
from monitoring.windows.traffic import Traffic
from pipelines.model.head_file import Head, save_head
from tests.support.performances import performance_by_version
from tests.support.traffic import (
    START,
    WATCHED_BLOCK,
    WINDOW,
    embed_words,
    log,
    make_answering_head,
    promote,
    store_model,
    traffic,
    whole_traffic,
)

NOW = datetime(2027, 6, 1, tzinfo=UTC)
LIVE = START + timedelta(days=60)


@dataclass
class Place:
    engine: Engine
    models: Path
    reports: Path

    def deploy(
        self, version: str, reference: pd.DataFrame | None, head: Head | None = None
    ) -> None:
        model = store_model(
            self.models, classifier="topic", version=version, reference=reference, head=head
        )
        with self.engine.begin() as connection:
            promote(connection, model)

    def answer(self, rows: pd.DataFrame, *, version: str = "1", prefix: str = "r") -> None:
        with self.engine.begin() as connection:
            log(connection, rows, classifier="topic", version=version, prefix=prefix)

    def watch(self, *, now: datetime = NOW, block: ClassifierParams = WATCHED_BLOCK) -> Verdict:
        return watch_classifier(
            self.engine,
            classifier="topic",
            block=block,
            models=self.models,
            reports=self.reports,
            embed=embed_words,
            now=now,
            seed=7,
            false_alarms=Budget(2.0),
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
        "monitoring.windows.files.write_report",
        lambda *_, file, **__: file.parent.mkdir(parents=True, exist_ok=True),
    )


def live(windows: float, *, seed: int = 11, start: datetime = LIVE, **how: float) -> pd.DataFrame:
    rows = traffic(
        days=int(windows * WINDOW / 60 * 1.2) + 3, a_day=60, seed=seed, start=start, **how
    )
    return rows.head(int(windows * WINDOW))


ANSWERING = make_answering_head()


def answered(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows as ANSWERING answers them: what another version said is computed again by it."""
    scorer = WindowScorer(ANSWERING, embed_words, phrases=[], seed=1)
    return scorer.completed(rows.assign(label=None, confidence=np.nan))


def test_usual_traffic_is_steady_and_reported_once(place: Place) -> None:
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
    [recorded] = place.stored(decision)
    assert (recorded["subject"], recorded["kind"], recorded["decided_at"]) == (
        "drift",
        "steady",
        NOW,
    )
    assert json.loads(json.dumps(recorded["evidence"])) == json.loads(json.dumps(verdict.evidence))
    assert place.watch().kind == "insufficient"
    assert (place.stored(drift_report), len(place.stored(decision))) == (reports, 1)


@pytest.mark.usefixtures("no_evidently")
def test_a_window_says_which_share_of_its_answers_was_refused(place: Place) -> None:
    place.answer(live(2))
    first = sa.select(sa.func.min(inference.c.sequence)).scalar_subquery()
    with place.engine.begin() as connection:
        refused = inference.c.sequence < first + 50
        connection.execute(sa.update(inference).values(abstained=refused))
    verdict = place.watch()
    shares = [window["abstained_share"] for window in verdict.evidence["windows"]]
    assert shares == [0.1, 0.0]
    assert [row["evidence"]["abstained_share"] for row in place.stored(drift_report)] == [0.1, 0.0]
    assert "10.0% of the answers said none of these" in verdict.reasons[0]
    with place.engine.connect() as connection:
        assert [window.refused for window in seen_windows(connection, "topic")] == [0.1, 0.0]


@pytest.mark.usefixtures("no_evidently")
def test_a_watch_says_how_soon_a_change_would_be_called(place: Place) -> None:
    place.answer(live(1))
    power = place.watch().evidence["power"]
    assert (power["change"], power["window_rows"], power["alarm"]) == (0.1, WINDOW, 3.0)
    assert power["window_days"] == pytest.approx(WINDOW / 60, rel=0.15)
    with place.engine.connect() as connection:
        assert "a change of a tenth is" in read_powers(connection)["topic"]


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
def test_a_few_damaged_phrases_hide_no_drift_of_a_small_window(place: Place) -> None:
    """Windows of 100 are what 14 answers a day give; three damaged phrases name the client."""
    rows = traffic(days=6, a_day=60, seed=11, start=LIVE, moved=0.6).head(200)
    rows.loc[[150, 160, 170], "cleaned"] = [f"fi\u00c3\u00a9vre {number}" for number in range(3)]
    place.answer(rows)
    drift = {"window_rows": 100, "window_days": 30, "min_labelled_share": 0}
    small = WATCHED_BLOCK.model_dump(exclude_unset=True) | {"drift": drift}
    verdict = place.watch(block=ClassifierParams.model_validate(small))
    assert [window["rows"] for window in verdict.evidence["windows"]] == [100, 100]
    assert "3 in a wrong encoding, of 100" in verdict.evidence["broken_client"]
    assert verdict.kind == "drift"


@pytest.mark.usefixtures("no_evidently")
def test_windows_go_on_across_promotions(place: Place) -> None:
    """Neither a promotion nor a rollback loses a row; the head that answers judges."""
    reference, rows = answered(traffic(days=60, a_day=60, seed=1)), answered(live(3))
    place.deploy("1", reference, ANSWERING)
    place.answer(rows.iloc[:750], prefix="a")
    assert place.watch().kind == "steady"
    place.answer(rows.iloc[750:1000], version="2", prefix="b")
    place.deploy("2", reference, ANSWERING)
    assert place.watch().kind == "steady"
    place.answer(rows.iloc[1000:1200], version="2", prefix="c")
    place.deploy("1", reference, ANSWERING)
    place.answer(rows.iloc[1200:], prefix="d")
    place.watch()
    assert [
        (row["version"], row["window_number"], row["window_start"], row["window_end"], row["rows"])
        for row in place.stored(drift_report)
    ] == [
        ("1", 1, at(rows, 0), at(rows, 499), 500),
        ("2", 2, at(rows, 500), at(rows, 999), 500),
        ("1", 3, at(rows, 1000), at(rows, 1499), 500),
    ]


@pytest.mark.usefixtures("no_evidently")
def test_the_window_before_is_judged_again_by_the_head_that_answers(place: Place) -> None:
    """Version 1 is alarmed by one window, version 2 has learnt such traffic; then it is left."""
    usual, moved = answered(traffic(days=60, a_day=60, seed=1)), answered(live(3, moved=0.5))
    place.deploy("1", usual, ANSWERING)
    place.answer(moved.iloc[:WINDOW], prefix="a")
    assert place.watch().kind == "warning"
    place.deploy("2", answered(traffic(days=60, a_day=60, seed=1, moved=0.5)), ANSWERING)
    place.answer(moved.iloc[WINDOW : 2 * WINDOW], version="2", prefix="b")
    assert place.watch().kind == "steady"
    place.deploy("1", usual, ANSWERING)
    place.answer(moved.iloc[2 * WINDOW :], version="1", prefix="c")
    verdict = place.watch()
    assert verdict.kind == "drift", "version 1 is alarmed by the window before, too"
    assert drift_start(verdict.evidence) == at(moved, 0), "and by the one before that"


@pytest.mark.usefixtures("no_evidently")
def test_an_alarm_of_an_earlier_tenure_is_not_the_window_before(place: Place) -> None:
    usual = answered(traffic(days=60, a_day=60, seed=1))
    moved = answered(live(1, moved=0.5))
    calm = answered(live(2, seed=13, start=LIVE + timedelta(days=30)))
    place.deploy("1", usual, ANSWERING)
    place.answer(moved, prefix="a")
    assert place.watch().kind == "warning"
    place.deploy("2", usual, ANSWERING)
    place.answer(calm.head(WINDOW), version="2", prefix="b")
    assert place.watch().kind == "steady"
    place.deploy("1", usual, ANSWERING)
    again = live(1, seed=14, start=LIVE + timedelta(days=50), moved=0.5)
    place.answer(answered(again), prefix="c")
    assert place.watch().kind == "warning"


@pytest.mark.usefixtures("no_evidently")
def test_answers_whose_label_the_champion_learnt_are_left_out(place: Place) -> None:
    rows = live(2)
    place.answer(rows.head(WINDOW), prefix="a")
    learnt_at = NOW - timedelta(days=2)
    with place.engine.begin() as connection:
        verdict = Verdict("promote", (), {"version": "1"})
        record_decision(
            connection, verdict, classifier="topic", subject="gate", decided_at=learnt_at
        )
        for number in range(130):
            at_once = learnt_at if number < 120 else NOW
            record_feedback(
                connection,
                request_id=f"a-{number:06d}",
                label="label01",
                author="desk",
                received_at=at_once,
            )
    place.watch()
    [report] = place.stored(drift_report)
    assert (report["rows"], report["answers"], report["verdict"]) == (500, 500, "steady")
    [decided] = [row for row in place.stored(decision) if row["subject"] == "drift"]
    assert decided["evidence"]["windows"][0]["rows"] == 380


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
    completed = WindowScorer(head, embed_words, phrases=[], seed=1).completed
    unsaid = {"label": None, "confidence": np.nan}
    reference = completed(traffic(days=60, a_day=60, seed=1).assign(**unsaid))
    rows = completed(live(2).assign(**unsaid))
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
        for start in range(0, len(rows), 25):  # by arrival, answers of both alternate
            part, canary = rows.iloc[start : start + 25], taken[start : start + 25]
            log(connection, part[~canary], classifier="topic", version="1", prefix=f"a{start}")
            log(
                connection,
                part[canary].assign(label="label19", confidence=0.9),
                classifier="topic",
                version="2",
                role="canary",
                prefix=f"b{start}",
            )
    verdict = place.watch()
    assert (verdict.kind, [window["rows"] for window in verdict.evidence["windows"]]) == (
        "steady",
        [WINDOW, WINDOW],
    )


@pytest.mark.usefixtures("no_evidently")
def test_traffic_is_what_clients_asked_whoever_answered(place: Place) -> None:
    rows = live(2)
    place.answer(rows.iloc[:300:2], prefix="a")
    with place.engine.begin() as connection:
        for role, part, prefix in (
            ("canary", rows.iloc[1:300:2], "b"),
            ("shadow", rows.iloc[1:300:2], "s"),
            ("asked", rows.iloc[:20], "t"),
        ):
            log(connection, part, classifier="topic", version="9", role=role, prefix=prefix)
    place.answer(rows.iloc[300:600], version="2", prefix="c")
    with place.engine.connect() as connection:
        traffic_of = {
            version: whole_traffic(connection, "topic", version) for version in ("1", "2", "9")
        }
    assert {len(read) for read in traffic_of.values()} == {600}
    assert {version: read["label"].notna().sum() for version, read in traffic_of.items()} == {
        "1": 150,
        "2": 300,
        "9": 150,
    }


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
        assert len(whole_traffic(connection, "topic", "1")) == 5
    assert performance_by_version(place.engine, "topic")["1"].answers == 5
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
    verdict = place.watch()
    assert verdict.kind == "insufficient"
    assert verdict.reasons == (
        "6 windows of 600 answers could not be judged: 0 rows to compare with; "
        "6 windows of 100 are needed; "
        "wait for more answers, or set a smaller drift.window_rows",
    )
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
    assert (verdict.kind, bool(verdict.evidence["alarms"])) == ("warning", True)
    assert "drift was called at window 2, and its cause has not grown" in verdict.reasons[0]
    assert verdict.evidence["normal_rows"] == len(
        pd.read_parquet(place.models / "topic/1/reference.parquet")
    )


@pytest.mark.usefixtures("no_evidently")
def test_steady_windows_become_normal(place: Place) -> None:
    place.answer(live(7))
    place.watch()
    [recorded] = place.stored(decision)
    calm = sum(row["verdict"] == "steady" for row in place.stored(drift_report))
    place.answer(live(1, seed=31, start=LIVE + timedelta(days=300)), prefix="b")
    reference = len(pd.read_parquet(place.models / "topic/1/reference.parquet"))
    assert calm >= 6
    assert place.watch().evidence["normal_rows"] == reference + calm * WINDOW
    assert recorded["evidence"]["windows"][0]["number"] == 1


@pytest.mark.usefixtures("no_evidently")
def test_a_drift_is_called_whatever_zone_the_database_answers_in(place: Place) -> None:
    """Steady windows join the reference rows: their moments make one column."""
    with place.engine.begin() as connection:
        database = connection.engine.url.database
        connection.execute(sa.text(f'alter database "{database}" set timezone to "Asia/Kolkata"'))
    place.engine.dispose()
    with place.engine.connect() as connection:
        connection.rollback()
        assert connection.scalar(sa.text("show timezone")) == "UTC"
    place.answer(live(8))
    assert place.watch().kind == "steady"
    moved = live(2, seed=12, start=LIVE + timedelta(days=300), moved=0.4, garbled=0.2)
    place.answer(moved, prefix="b")
    verdict = place.watch()
    assert verdict.kind == "drift"
    reference = len(pd.read_parquet(place.models / "topic/1/reference.parquet"))
    assert verdict.evidence["normal_rows"] > reference


@pytest.mark.usefixtures("no_evidently")
def test_a_version_that_learnt_a_drift_is_not_held_against_the_world_before_it(
    place: Place,
) -> None:
    """Version 2 has learnt sixty calm days and twenty moved ones: moved traffic is normal."""
    usual, calm = answered(traffic(days=60, a_day=60, seed=1)), answered(live(1))
    moved = answered(live(2.5, seed=12, start=LIVE + timedelta(days=20), moved=0.4))
    place.deploy("1", usual, ANSWERING)
    place.answer(calm, prefix="a")
    place.answer(moved, prefix="b")
    assert place.watch().kind == "drift"
    place.deploy("2", pd.concat([usual, calm, moved], ignore_index=True), ANSWERING)
    after = live(3, seed=13, start=moved["occurred_at"].iloc[-1] + timedelta(days=1), moved=0.4)
    place.answer(answered(after.head(900)), version="2", prefix="c")
    verdict = place.watch()
    assert (verdict.evidence["version"], verdict.evidence["normal_rows"]) == ("2", len(moved))
    assert verdict.kind in ("steady", "warning")
    assert verdict.evidence["window_rows"] == len(moved) // 6


def at(rows: pd.DataFrame, number: int) -> datetime:
    moment: datetime = rows["occurred_at"].iloc[number].to_pydatetime()
    return moment


@pytest.mark.usefixtures("no_evidently")
def test_windows_go_on_when_the_log_is_tidied(place: Place) -> None:
    """A month of 60 rows per day goes; its windows are reported and leave the baseline."""
    rows = live(12)
    place.answer(rows.iloc[: 8 * WINDOW], prefix="a")
    place.watch()
    tidy_inference(place.engine, now=at(rows, 8 * WINDOW), kept_months=1)
    with place.engine.connect() as connection:
        held = len(whole_traffic(connection, "topic", "1"))
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
def test_windows_that_the_log_no_longer_holds_do_not_make_windows_larger(
    engine: Engine, tmp_path: Path
) -> None:
    """Nothing but the reference is left to compare with: a window is a sixth of it."""
    place = Place(engine, tmp_path / "models", tmp_path / "reports")
    place.deploy("1", traffic(days=20, a_day=60, seed=1))
    place.answer(live(6), prefix="a")
    assert place.watch().kind == "steady"
    with engine.begin() as connection:
        connection.execute(inference.delete())
    place.answer(live(3, seed=31, start=LIVE + timedelta(days=300)), prefix="b")
    assert place.watch().kind != "insufficient"


@pytest.mark.usefixtures("no_evidently")
def test_rows_that_come_late_are_in_the_window_of_their_arrival(place: Place) -> None:
    """A backfill of last year, too."""
    rows = live(2)
    place.answer(rows.iloc[50:550], prefix="a")
    place.watch()
    late = pd.concat([rows.iloc[:50], live(0.2, start=LIVE - timedelta(days=365))])
    place.answer(late, prefix="late")
    place.answer(rows.iloc[550:900], prefix="b")
    place.watch()
    spans = [(row["first_sequence"], row["last_sequence"]) for row in place.stored(drift_report)]
    assert [last - first + 1 for first, last in spans] == [500, 500]
    assert spans[1][0] == spans[0][1] + 1


@pytest.mark.usefixtures("no_evidently")
def test_two_equal_sites_nine_hours_apart_are_watched_alike(place: Place) -> None:
    """Both log at the same pace; the clock of one is behind."""
    rows = live(3)
    behind = np.arange(len(rows)) % 2 == 1
    shifted = rows["occurred_at"].where(~behind, rows["occurred_at"] - timedelta(hours=9))
    place.answer(rows.assign(occurred_at=shifted, region=np.where(behind, "west", "east")))
    place.watch()
    with place.engine.connect() as connection:
        sites = [
            Traffic(connection, "topic", "1").read_window(report.window)["region"].value_counts()
            for report in read_reports(connection, classifier="topic")
            if report.window
        ]
    assert [dict(site) for site in sites] == [{"east": 250, "west": 250}] * 3


@pytest.mark.usefixtures("no_evidently")
def test_a_report_of_an_earlier_release_is_where_the_next_window_begins(place: Place) -> None:
    rows = live(3)
    place.answer(rows, prefix="a")
    with place.engine.begin() as connection:
        first = connection.scalar(sa.select(sa.func.min(inference.c.sequence))) or 0
        connection.execute(
            drift_report.insert(),
            [
                {
                    "reported_at": NOW, "classifier": "topic", "version": version,
                    "window_number": number, "window_start": at(rows, 0),
                    "window_end": at(rows, 499),
                    "rows": 500, "statistics": {}, "alarms": [], "verdict": "steady", "report": "r",
                    "last_sequence": first + last,
                }
                for version, number, last in (("0", 1, 199), ("0", 2, 299), ("1", 1, 499))
            ],
        )  # fmt: skip
    place.watch()
    new = place.stored(drift_report)[3:]
    assert [(row["window_number"], row["window_start"]) for row in new] == [
        (3, at(rows, 500)),
        (4, at(rows, 1000)),
    ]


@pytest.mark.usefixtures("no_evidently")
def test_of_a_busy_day_a_fixed_sample_is_read(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """3,000 answers a day, and no more keys than 1,000 are read."""
    monkeypatch.setattr("monitoring.windows.traffic.CLOSE_READ", 1000)
    place.answer(traffic(days=3, a_day=3000, seed=5, start=LIVE))
    verdict = place.watch()
    reports = place.stored(drift_report)
    spans = [row["last_sequence"] - row["first_sequence"] for row in reports]
    assert spans == pytest.approx([3000, 3000], rel=0.1)
    assert [(row["rows"], row["answers"]) for row in reports] == [(500, None)] * 2
    assert "500 answers, a sample of its answers)" in verdict.reasons[0]
    with place.engine.connect() as connection:
        reader = Traffic(connection, "topic", "1")
        [first, second] = [
            reader.read_window(report.window)["request_id"].tolist()
            for _ in range(2)
            for report in read_reports(connection, classifier="topic")[:1]
            if report.window
        ]
    assert first == second
    assert len(set(first)) == 500


@pytest.mark.usefixtures("no_evidently")
def test_a_busy_window_is_read_again_as_it_was_beside_another_classifier(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two thirds of the sequence numbers of its first day are those of a batch of another one."""
    monkeypatch.setattr("monitoring.windows.traffic.CLOSE_READ", 1000)
    rows = traffic(days=2, a_day=3000, seed=5, start=LIVE)
    place.answer(rows.head(1500))
    with place.engine.begin() as connection:
        batch = traffic(days=1, a_day=6000, seed=6, start=LIVE)
        log(connection, batch, classifier="other", version="1", prefix="other")
    place.answer(rows.iloc[1500:], prefix="later")
    place.watch()
    with place.engine.connect() as connection:
        [report] = read_reports(connection, classifier="topic")
        assert report.window
        assert report.rows > 300
        assert len(Traffic(connection, "topic", "1").read_window(report.window)) == report.rows


@pytest.mark.usefixtures("no_evidently")
def test_after_an_outage_of_the_watch_it_goes_on_in_bounded_steps(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("monitoring.windows.traffic.WINDOWS_AT_ONCE", 2)
    place.answer(live(5))
    counts = []
    for _ in range(4):
        place.watch()
        counts.append(len(place.stored(drift_report)))
    assert counts == [2, 4, 5, 5]


def test_a_row_that_commits_later_with_a_lower_number_is_not_skipped(place: Place) -> None:
    """The watch waits for the insert that is under way; later ones wait for the watch."""
    rows = live(1)
    with ThreadPoolExecutor(1) as pool:
        with place.engine.begin() as connection:
            log(connection, rows.head(10), classifier="topic", version="1", prefix="slow")
            newest = pool.submit(newest_arrival, place.engine)
            with pytest.raises(TimeoutError):
                newest.result(timeout=0.3)
        with place.engine.connect() as connection:
            numbers = sa.select(sa.func.max(inference.c.sequence))
            assert newest.result(timeout=30) == connection.scalar(numbers)


@pytest.mark.usefixtures("no_evidently")
def test_two_watches_at_once_report_every_window_once(place: Place) -> None:
    place.answer(live(3))
    with ThreadPoolExecutor(2) as pool:
        verdicts = list(pool.map(lambda _: place.watch().kind, range(2)))
    assert "steady" in verdicts
    assert [row["window_number"] for row in place.stored(drift_report)] == [1, 2, 3]
