"""Refused answers: found, counted, held against the promise, and named by people."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Engine
from starlette.testclient import TestClient

from core.contracts import ModelVersion
from core.deployments import append_deployment
from core.tables.console import console_change
from core.tables.loop import feedback
from core.tables.loop import inference as table
from flows.candidates.refusals import newest_phrases
from flows.context import LoopContext
from monitoring.performance.answer_counts import count_answers
from monitoring.performance.figures import measure_by
from monitoring.performance.periods import Period
from monitoring.performance.promises import check_promise, describe_promise
from monitoring.performance.quality import quality_over_time
from monitoring.performance.report import cells, read_report
from monitoring.review import refused
from monitoring.review.phrase_vectors import update_vectors, vectors_folder
from monitoring.review.refused import (
    champion_proposals,
    judged_refusals,
    name_label,
    refused_phrases,
)
from monitoring.windows.cutting import Window
from monitoring.windows.traffic import Traffic
from tests.support.heads import EMBEDDER_ID, champion, store_head
from tests.support.inferences import inference

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
EARLIER = NOW - timedelta(days=3)
REFUSED = {
    "invoice of the crown": 4,
    "invoice for a crown": 3,
    "cat food": 2,
}
PAGE = "/c/organ/refused"


def log(engine: Engine, *rows: dict[str, Any]) -> None:
    with engine.begin() as connection:
        connection.execute(table.insert(), list(rows))


def answer(number: int, **changes: Any) -> dict[str, Any]:
    values = {"occurred_at": EARLIER + timedelta(minutes=number), "abstained": False, **changes}
    return asdict(inference(number, **values))


@pytest.fixture
def model(context: LoopContext) -> ModelVersion:
    """Version 1, which promised to answer 90 % alone at 80 % or better."""
    model = store_head(context.settings.home, "organ", "1")
    promise = {"promise": {"answered": 0.9, "precision": 0.8}}
    evaluation = json.dumps({"abstention": promise})
    (Path(model.head_location) / "evaluation.json").write_text(evaluation)
    entry = champion(model)
    with context.engine.begin() as connection:
        append_deployment(connection, type(entry)(model, "champion", 1.0, EARLIER, "test"))
    return model


@pytest.fixture
def logged(engine: Engine, model: ModelVersion) -> Engine:
    """91 answers, 9 refusals of three phrases, one of a pin, and a row of an earlier release."""
    refused = [name for name, times in REFUSED.items() for _ in range(times)]
    log(
        engine,
        *(answer(number) for number in range(91)),
        *(
            answer(100 + place, abstained=True, phrase=name, cleaned=name, probability=0.2)
            for place, name in enumerate(refused)
        ),
        answer(200, abstained=True, pin=1, pinned_label="lung", cleaned="a pinned phrase"),
        answer(201, abstained=None, cleaned="an old row"),
        answer(202, abstained=True, role="shadow", version="2", cleaned="a shadow"),
    )
    return engine


def judge(engine: Engine, number: int, right: str, kind: str = "sample") -> None:
    values = {
        "request_id": f"request-{number}",
        "classifier": "organ",
        "label": right,
        "author": "ada",
        "kind": kind,
        "probability": 0.5 if kind == "sample" else None,
        "received_at": NOW,
    }
    with engine.begin() as connection:
        connection.execute(feedback.insert().values(values))


def test_refused_answers_are_found_and_shown(console: TestClient, logged: Engine) -> None:
    found = console.get("/api/organ/answers", params={"abstained": "true"}).json()["answers"]
    assert sorted(row["phrase"] for row in found) == sorted(
        name for name, times in REFUSED.items() for _ in range(times)
    )
    assert all(row["abstained"] and row["label"] == "heart" for row in found)
    plain = console.get("/api/organ/answers", params={"limit": 500}).json()["answers"]
    assert sum(row["abstained"] for row in plain) == 9
    assert len(plain) == 102
    page = console.get("/c/organ/answers", params={"abstained": "true"}).text
    assert "none of these <small>guess heart</small>" in page
    one = console.get("/c/organ/answers/request-100").text
    assert "<h2>none of these <small>guess heart 0.200</small></h2>" in one


def test_refused_answers_are_counted(logged: Engine) -> None:
    counted = count_answers(logged, "organ", now=NOW)
    with logged.connect() as connection:
        [whole] = measure_by(connection, "organ", by=(), period=Period(), counted=counted.until)
    assert (whole.answers, whole.abstained) == (102, 10)
    report = read_report(logged, "organ", Period(), counted)
    assert cells(report.sections["version"][0], "version")[1:3] == ("102", "9.8%")
    [row] = quality_over_time(logged, classifier="organ", now=NOW)
    assert row.abstained == 10


@pytest.mark.parametrize(
    ("wrong", "standing", "words"),
    [
        (0, "kept", "the promise is kept"),
        (30, "broken", "the promise is broken"),
        (9, "open", "the labels do not decide yet"),
    ],
)
def test_the_promise_is_held_against_labels_of_the_answers_given(
    console: TestClient, logged: Engine, wrong: int, standing: str, words: str
) -> None:
    for number in range(50):
        judge(logged, number, "lung" if number < wrong else "heart")
    judge(logged, 100, "lung")  # a refused guess is no answer
    counted = count_answers(logged, "organ", now=NOW)
    with logged.connect() as connection:
        promise = check_promise(connection, "organ")
    assert promise is not None
    assert (promise.judges, promise.standing) == (50, standing)
    assert promise.answered == pytest.approx(92 / 102)
    sentence = describe_promise(promise)
    assert words in sentence and "promised to answer 90.0 % alone at 80.0 % or better" in sentence
    assert read_report(logged, "organ", Period(), counted).promise == promise
    assert words in console.get("/c/organ/performance").text


def test_a_promise_without_labels_is_open(logged: Engine) -> None:
    count_answers(logged, "organ", now=NOW)
    with logged.connect() as connection:
        assert "no label stands for these answers yet" in describe_promise(
            check_promise(connection, "organ")
        )


def test_a_version_of_an_earlier_release_promises_nothing(
    context: LoopContext, model: ModelVersion
) -> None:
    evaluation = Path(model.head_location) / "evaluation.json"
    for text in ("{}", '{"abstention": {"rule": null}}', "no JSON"):
        evaluation.write_text(text)
        with context.engine.connect() as connection:
            assert check_promise(connection, "organ") is None
    evaluation.unlink()
    with context.engine.connect() as connection:
        assert check_promise(connection, "organ") is None
        assert check_promise(connection, "chapter") is None
    assert describe_promise(None) == ""


def test_a_window_knows_its_share(logged: Engine) -> None:
    with logged.connect() as connection:
        traffic = Traffic(connection, "organ", "1")
        ends = connection.execute(
            sa.select(sa.func.min(table.c.sequence), sa.func.max(table.c.sequence))
        ).one()
        whole = Window(1, ends[0], ends[1], 102, 102)
        assert traffic.refused_share(whole) == pytest.approx(9 / 101)
        old = connection.scalar(sa.select(table.c.sequence).where(table.c.cleaned == "an old row"))
        assert traffic.refused_share(Window(1, old or 0, old or 0, 1, 1)) is None


def near(phrases: list[str]) -> np.ndarray:
    """Vectors of which those of invoices are near each other."""
    rows = [[1.0, 0.1, 0.0] if "invoice" in phrase else [0.0, 0.0, 1.0] for phrase in phrases]
    return np.array(rows, np.float32)


def test_refused_phrases_that_say_the_same_are_one_proposal(
    context: LoopContext, logged: Engine
) -> None:
    home = context.settings.home
    with logged.connect() as connection:
        alone = champion_proposals(connection, "organ", home=home)
    assert [len(proposal.phrases) for proposal in alone] == [1, 1, 1]
    update_vectors(vectors_folder(home, EMBEDDER_ID), list(REFUSED), near)  # type: ignore[arg-type]
    with logged.connect() as connection:
        first, second = champion_proposals(connection, "organ", home=home)
    assert [phrase.cleaned for phrase in first.phrases] == list(REFUSED)[:2]
    assert (first.answers, second.answers) == (7, 2)


def test_a_person_names_a_label_and_it_becomes_feedback(
    console: TestClient, context: LoopContext, logged: Engine
) -> None:
    page = console.get(PAGE).text
    assert "invoice of the crown" in page and "a pinned phrase" not in page
    named = console.post(
        PAGE,
        data={"phrases": list(REFUSED)[:2], "label": " invoices "},
        headers={"sec-fetch-site": "same-origin"},
        follow_redirects=False,
    )
    assert named.status_code == 303
    with logged.connect() as connection:
        rows = connection.execute(sa.select(feedback)).all()
        assert {(row.label, row.kind) for row in rows} == {("invoices", "correction")}
        assert {row.request_id for row in rows} == {"request-103", "request-106"}
        [left] = champion_proposals(connection, "organ", home=context.settings.home)
        assert left.phrases[0].cleaned == "cat food"
        [change] = connection.scalars(sa.select(console_change.c.after))
        assert change["label"] == "invoices" and len(change["phrases"]) == 2
    assert "invoice" not in console.get(PAGE).text

    confirmed = console.post(
        PAGE,
        data={"phrases": ["cat food"], "none": "true"},
        headers={"sec-fetch-site": "same-origin"},
    )
    assert "No refused phrase waits for a label" in confirmed.text
    with logged.connect() as connection:
        newest = connection.execute(sa.select(feedback).order_by(feedback.c.id.desc())).first()
        assert newest is not None
        assert (newest.label, newest.kind) == ("", "none_of_these")


@pytest.mark.parametrize("days", [30, 120])
def test_a_phrase_that_was_refused_long_ago_leaves_the_page_once_it_is_named(
    context: LoopContext, model: ModelVersion, days: int
) -> None:
    """A hundred thousand answers are years of a quiet classifier."""
    moment = NOW - timedelta(days=days)
    log(context.engine, answer(1, abstained=True, cleaned="cat food", occurred_at=moment))
    with context.engine.begin() as connection:
        name_label(connection, "organ", ["cat food"], "pets", author="ada", now=NOW)
        assert not champion_proposals(connection, "organ", home=context.settings.home)


def test_later_labels_do_not_bring_a_named_phrase_back(
    logged: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(refused, "LABELS_READ", 3)
    judge(logged, 107, "pets", "correction")
    for number in range(5):
        judge(logged, number, "heart")
    with logged.connect() as connection:
        found = refused_phrases(connection, "organ")
    assert [phrase.cleaned for phrase in found] == list(REFUSED)[:2]


@pytest.mark.parametrize(
    ("form", "status"),
    [
        ({"phrases": ["cat food"], "label": " "}, 422),
        ({"phrases": ["a pinned phrase"], "label": "invoices"}, 422),
        ({"label": "invoices"}, 422),
    ],
)
@pytest.mark.usefixtures("logged")
def test_what_cannot_be_named_is_refused(
    console: TestClient, form: dict[str, Any], status: int
) -> None:
    answered = console.post(PAGE, data=form, headers={"sec-fetch-site": "same-origin"})
    assert answered.status_code in (400, status), answered.text


@pytest.mark.parametrize(
    ("form", "label", "kind"),
    [
        ({"label": "heart"}, "heart", "correction"),
        ({"label": "lung"}, "lung", "correction"),
        ({"label": "heart", "none": "true"}, "", "none_of_these"),
    ],
)
def test_a_label_for_a_refused_answer_says_that_the_refusal_was_false(
    console: TestClient, logged: Engine, form: dict[str, str], label: str, kind: str
) -> None:
    console.post(
        "/c/organ/answers/request-100/fix", data=form, headers={"sec-fetch-site": "same-origin"}
    )
    with logged.connect() as connection:
        [row] = connection.execute(sa.select(feedback))
    assert (row.label, row.kind) == (label, kind)


def test_feedback_says_whether_refusals_were_right(console: TestClient, logged: Engine) -> None:
    assert "Nobody has judged a refused answer yet" in console.get(PAGE).text
    judge(logged, 100, "heart", "correction")
    judge(logged, 101, "heart", "correction")
    judge(logged, 101, "", "none_of_these")
    judge(logged, 102, "", "none_of_these")
    judge(logged, 1, "lung", "correction")
    with logged.connect() as connection:
        judged = judged_refusals(connection, "organ")
    assert (judged.confirmed, judged.false) == (2, 1)
    words = "f 3 refused answers that people judged, 2 fit no label"
    assert words in console.get(PAGE).text


def test_recent_phrases_are_those_that_clients_asked(logged: Engine) -> None:
    with logged.connect() as connection:
        recent = newest_phrases(connection, "organ")
    assert recent["invoice of the crown"] == 4
    assert recent.total() == 102 and "a shadow" not in recent
