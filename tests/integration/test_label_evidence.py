"""Labels that contradict the answers too often call drift; corrections alone do not."""

from __future__ import annotations

import math
import re
from datetime import datetime, timedelta

import numpy as np
import pandas as pd
import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Engine

from core.contracts import ModelVersion, Verdict
from core.decisions import record_decision
from core.feedback import record_feedback
from core.tables.answers import answer_count
from core.tables.loop import decision, feedback, inference
from monitoring.drift import label_streams
from monitoring.drift.corrections import Corrections, count_corrections
from monitoring.drift.label_evidence import call_by_labels, read_label_evidence
from monitoring.retraining import drift_start
from pipelines.memory.store import no_source_labels
from tests.support.traffic import START, log, traffic

NOW = START + timedelta(days=40)
CHAMPION = ModelVersion("topic", "1", "models/topic/1", "sha256:0", "words-1")
SURE = pd.DataFrame({"confidence": [0.95], "weight": [10.0]})


def answer(engine: Engine, *, version: str = "1", prefix: str = "r") -> list[str]:
    rows = traffic(days=7, a_day=60, seed=4)
    distinct = rows.assign(cleaned=[f"{prefix} phrase {number}" for number in range(len(rows))])
    with engine.begin() as connection:
        return log(connection, distinct, classifier="topic", version=version, prefix=prefix)


def label(
    engine: Engine,
    ids: list[str],
    *,
    wrong: float,
    kind: str = "sample",
    author: str = "desk",
    received: datetime = NOW - timedelta(days=1),
    probability: float = 0.1,
) -> None:
    """Label the answers, in order; the share `wrong` contradicts them."""
    contradicts = np.random.default_rng(5).random(len(ids)) < wrong
    with engine.begin() as connection:
        given = {
            row.request_id: row.label
            for row in connection.execute(sa.select(inference.c.request_id, inference.c.label))
        }
        for number, request_id in enumerate(ids):
            record_feedback(
                connection,
                request_id=request_id,
                label="another" if contradicts[number] else given[request_id],
                author=author,
                received_at=received + timedelta(seconds=number),
                kind=kind,
                probability=probability if kind == "sample" else None,
            )


def call(
    engine: Engine,
    *,
    now: datetime = NOW,
    source: pd.DataFrame | None = None,
    reference: pd.DataFrame = SURE,
) -> Verdict | None:
    rows = no_source_labels() if source is None else source
    return call_by_labels(
        engine,
        CHAMPION,
        reference=reference,
        source=lambda since: rows[rows["occurred_at"] > since],
        false_calls=0.5,
        now=now,
    )


def source_rows(engine: Engine, ids: list[str], *, wrong: float) -> pd.DataFrame:
    """The source's labels of these answers; the share `wrong` contradicts them."""
    contradicts = np.random.default_rng(5).random(len(ids)) < wrong
    table = inference.c
    with engine.connect() as connection:
        query = sa.select(table.request_id, table.cleaned, table.label, table.occurred_at)
        rows = pd.DataFrame(connection.execute(query).mappings().all()).set_index("request_id")
    found = rows.loc[ids].rename_axis("id").reset_index()
    return found.assign(label=np.where(contradicts, "another", found["label"]))


def occurred_at(engine: Engine, request_id: str) -> datetime:
    with engine.connect() as connection:
        query = sa.select(inference.c.occurred_at).where(inference.c.request_id == request_id)
        moment: datetime = connection.execute(query).scalar_one()
    return moment


def shuffle_receipt(engine: Engine) -> None:
    """One person labels all in one sitting; the queue shuffles the samples."""
    random = np.random.default_rng(8)
    with engine.begin() as connection:
        for number in connection.scalars(sa.select(feedback.c.id)).all():
            moment = NOW - timedelta(hours=2) + timedelta(seconds=int(random.integers(3600)))
            connection.execute(
                feedback.update().where(feedback.c.id == number).values(received_at=moment)
            )


def decisions(engine: Engine) -> list[str]:
    with engine.connect() as connection:
        return list(connection.scalars(sa.select(decision.c.kind)))


@pytest.mark.parametrize("kind", ["sample", "unknown"])
def test_samples_and_unselected_labels_call_drift_once(engine: Engine, kind: str) -> None:
    label(engine, answer(engine), wrong=0.3, kind=kind)
    verdict = call(engine)
    assert verdict is not None and verdict.kind == "drift"
    assert re.match(
        r"\d\d % of \d+ unselected labels of answers from 20\S+ to 20\S+ contradict them, "
        "7 % are expected at most",
        verdict.reasons[0],
    )
    assert verdict.evidence["label_test"]["wrong"] == pytest.approx(0.3, abs=0.06)
    assert decisions(engine) == ["drift"]
    assert call(engine) is None, "the answers of before the call do not call again"


def test_labels_of_the_source_call_drift(engine: Engine) -> None:
    ids = answer(engine)
    verdict = call(engine, source=source_rows(engine, ids, wrong=0.3))
    assert verdict is not None and verdict.evidence["label_test"]["labels"] == len(ids)
    assert call(engine, source=source_rows(engine, ids, wrong=0.3)) is None, "they called once"


def test_right_labels_of_the_source_call_nothing(engine: Engine) -> None:
    ids = answer(engine)
    assert call(engine, source=source_rows(engine, ids, wrong=0.05)) is None


def test_a_row_of_the_source_that_people_corrected_is_theirs(engine: Engine) -> None:
    ids = answer(engine)
    label(engine, ids, wrong=1.0, kind="correction")
    assert call(engine, source=source_rows(engine, ids, wrong=1.0)) is None


@pytest.mark.parametrize("share", [0.5, 0.8])
def test_answers_that_people_confirm_do_not_make_the_others_look_wrong(
    engine: Engine, share: float
) -> None:
    """One in twenty answers is wrong; the source has the rows that nobody confirmed."""
    ids = answer(engine)
    rows = source_rows(engine, ids, wrong=0.05)
    right = list(rows.loc[rows["label"] != "another", "id"])
    label(engine, right[: int(share * len(right))], wrong=0.0, kind="confirmation")
    assert call(engine, source=rows) is None


def test_confirmed_answers_alone_are_no_labels_of_the_source(engine: Engine) -> None:
    label(engine, answer(engine), wrong=0.0, kind="confirmation")
    with engine.connect() as connection:
        found = read_label_evidence(
            connection,
            CHAMPION,
            reference=SURE,
            source=lambda since: no_source_labels(),
            false_calls=0.5,
            now=NOW,
        )
    assert found is None


def test_a_few_wrong_labels_of_people_do_not_silence_the_source(engine: Engine) -> None:
    """Fifteen labels call nothing, however far their bets are above the threshold."""
    ids = answer(engine)
    label(engine, ids[:15], wrong=1.0)
    verdict = call(engine, source=source_rows(engine, ids[15:], wrong=0.15))
    assert verdict is not None and verdict.evidence["label_test"]["labels"] == len(ids) - 15


@pytest.mark.parametrize("by", ["people", "people, in any order", "source"])
def test_a_call_by_labels_says_since_when(engine: Engine, by: str) -> None:
    """Of seven days of answers, those of the last two and a half are often wrong."""
    ids = answer(engine)
    right, wrong = ids[:270], ids[270:]
    if by == "source":
        rows = [source_rows(engine, right, wrong=0.03), source_rows(engine, wrong, wrong=0.5)]
        verdict = call(engine, source=pd.concat(rows, ignore_index=True))
    else:
        label(engine, right, wrong=0.03, received=NOW - timedelta(days=2))
        label(engine, wrong, wrong=0.5)
        if "any order" in by:
            shuffle_receipt(engine)
        verdict = call(engine)
    assert verdict is not None
    began = drift_start(verdict.evidence)
    assert began is not None and abs(began - occurred_at(engine, wrong[0])) < timedelta(hours=12)
    assert f"unselected labels of answers from {began:%Y-%m-%d} to " in verdict.reasons[0]
    share = float(verdict.reasons[0].split(" %")[0])
    assert 40 <= share <= 60, "the share since then, not that of all labels"


def test_a_bad_stretch_that_is_over_is_dated(engine: Engine) -> None:
    """The source labels all at once, weeks later."""
    ids = answer(engine)
    parts = [(ids[:200], 0.03), (ids[200:280], 0.6), (ids[280:], 0.03)]
    rows = [source_rows(engine, part, wrong=wrong) for part, wrong in parts]
    verdict = call(engine, source=pd.concat(rows, ignore_index=True))
    assert verdict is not None
    began = drift_start(verdict.evidence)
    assert began is not None and abs(began - occurred_at(engine, ids[200])) < timedelta(hours=12)


def test_rows_of_the_source_that_nobody_asked_call_nothing(engine: Engine) -> None:
    rows = source_rows(engine, answer(engine), wrong=1.0)
    assert call(engine, source=rows.assign(id=rows["id"] + "-of-another-system")) is None


def test_later_corrections_do_not_push_the_samples_out(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(label_streams, "LABELS_READ", 200)
    ids = answer(engine)
    label(engine, ids[:200], wrong=0.3, received=NOW - timedelta(days=2))
    label(engine, ids[200:400], wrong=1.0, kind="correction")
    assert call(engine) is not None


def test_one_rare_sample_does_not_silence_the_others(engine: Engine) -> None:
    ids = answer(engine)
    label(engine, ids[:1], wrong=0.0, probability=0.0001)
    label(engine, ids[1:], wrong=0.3)
    assert call(engine) is not None


def test_right_labels_call_nothing(engine: Engine) -> None:
    label(engine, answer(engine), wrong=0.05)
    assert call(engine) is None
    assert decisions(engine) == []


@pytest.mark.parametrize("kind", ["correction", "confirmation", "double_review"])
def test_corrections_alone_call_nothing(engine: Engine, kind: str) -> None:
    label(engine, answer(engine), wrong=1.0, kind=kind)
    assert call(engine) is None


def test_an_author_who_labels_wrong_answers_alone_calls_nothing(engine: Engine) -> None:
    label(engine, answer(engine), wrong=0.9, kind="unknown")
    assert call(engine) is None


def test_labels_of_another_versions_answers_do_not_count(engine: Engine) -> None:
    label(engine, answer(engine, version="2"), wrong=0.5)
    assert call(engine) is None


def test_what_the_memory_answered_does_not_count(engine: Engine) -> None:
    ids = answer(engine)
    with engine.begin() as connection:
        connection.execute(inference.update().values(head_label="label00"))
    label(engine, ids, wrong=0.5)
    assert call(engine) is None


def test_labels_dated_in_the_future_wait(engine: Engine) -> None:
    label(engine, answer(engine), wrong=0.5, received=NOW + timedelta(days=365))
    assert call(engine) is None
    assert call(engine, now=NOW + timedelta(days=366)) is not None


def test_one_phrase_labelled_ten_thousand_times_is_one_label(engine: Engine) -> None:
    ids = answer(engine)
    with engine.begin() as connection:
        connection.execute(inference.update().values(cleaned="the same"))
    label(engine, ids, wrong=0.4)
    assert call(engine) is None


def test_a_drift_that_windows_called_begins_the_test_anew(engine: Engine) -> None:
    label(engine, answer(engine), wrong=0.5)
    with engine.begin() as connection:
        drift = Verdict("drift", ("labels moved",))
        record_decision(
            connection,
            drift,
            classifier="topic",
            subject="drift",
            decided_at=NOW - timedelta(days=1),
        )
    assert call(engine) is None


def test_without_labels_or_reference_nothing_is_called(engine: Engine) -> None:
    assert call(engine) is None
    label(engine, answer(engine), wrong=0.5)
    none = pd.DataFrame({"confidence": [], "weight": []})
    assert call(engine, reference=none) is None


def steady(engine: Engine) -> None:
    """As many answers are counted on each of the last 56 days, and none before."""
    rows = [
        {
            "classifier": "topic",
            "day": (NOW - timedelta(days=day)).date(),
            "version": "1",
            "shadow": False,
            "region": "",
            "answers": 10,
            "probability_sum": 9.0,
        }
        for day in range(56)
    ]
    with engine.begin() as connection:
        connection.execute(answer_count.insert(), rows)


def test_growing_corrections_ask_for_a_sample(engine: Engine) -> None:
    """Labels of a sample are not corrections."""
    ids = answer(engine)
    steady(engine)
    label(engine, ids[:10], wrong=1.0, kind="correction", received=NOW - timedelta(days=40))
    label(engine, ids[10:50], wrong=1.0, kind="correction")
    label(engine, ids[50:150], wrong=1.0, kind="sample")
    with engine.connect() as connection:
        corrections = count_corrections(connection, "topic", now=NOW)
        earlier = count_corrections(connection, "topic", now=NOW - timedelta(days=30))
    assert corrections == Corrections(40, 10, traffic=1.0)
    assert corrections.grown and "40 corrections came in 28 days" in corrections.sentence()
    assert earlier == Corrections(10, 0, traffic=math.inf)


def test_feedback_of_earlier_years_says_nothing_of_an_author(engine: Engine) -> None:
    ids = answer(engine)
    label(engine, ids[:100], wrong=0.0, kind="unknown", received=NOW - timedelta(days=400))
    label(engine, ids[100:150], wrong=1.0, kind="unknown")
    with engine.connect() as connection:
        assert count_corrections(connection, "topic", now=NOW).now == 50


@pytest.mark.parametrize(
    ("now", "before", "traffic", "grown"),
    [
        (0, 0, 1.0, False),
        (8, 0, 1.0, False),
        (14, 0, 1.0, True),
        (30, 20, 1.0, False),
        (20, 10, 1.0, False),
        (200, 99, 1.0, True),
        (200, 99, 2.0, False),
        (200, 20, 2.0, True),
        (200, 0, math.inf, False),
        (200, 0, 0.0, False),
    ],
)
def test_corrections_grow_beyond_chance_and_traffic(
    now: int, before: int, traffic: float, grown: bool
) -> None:
    assert Corrections(now, before, traffic).grown is grown
