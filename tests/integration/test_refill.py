"""The review queue is refilled from a real log, within the week's labels."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Engine

from core.contracts import Deployment, Verdict
from core.decisions import record_decision
from core.deployments import append_deployment
from core.feedback import record_feedback
from core.params.review import ReviewParams
from core.tables.loop import inference
from core.tables.pins import pin
from core.tables.review import review_answer, review_item, review_lease
from core.tables.review_draws import review_draw
from monitoring.review import draws, recent_log
from monitoring.review.acts import Act, answer_item
from monitoring.review.deciding import Answer
from monitoring.review.fixes import logged_phrases
from monitoring.review.knowing import Versions
from monitoring.review.recent_log import read_recent
from monitoring.review.refill import Refilled, refill_queue
from pipelines.model.classifier import PhraseClassifier
from tests.support.traffic import embed_words, log, make_answering_head, promote, store_model

NOW = datetime(2026, 3, 10, tzinfo=UTC)
HOUR = timedelta(hours=1)
WEEK = timedelta(days=7)
REVIEW = ReviewParams()


def answers(
    engine: Engine,
    phrases: Sequence[str],
    *,
    prefix: str = "r",
    until: datetime = NOW,
    probability: float | Sequence[float] = 0.7,
    label: str | Sequence[str] = "label00",
    days: float = 6,
    **options: Any,
) -> list[str]:
    """Log one answer per phrase, evenly spread over the days before `until`."""
    span = timedelta(days=days)
    moments = [until - span + span * number / len(phrases) for number in range(len(phrases))]
    rows = pd.DataFrame({
        "occurred_at": moments, "region": None, "cleaned": phrases,
        "label": label, "confidence": probability,
    })  # fmt: skip
    with engine.begin() as connection:
        return log(
            connection,
            rows,
            classifier="topic",
            version=options.pop("version", "1"),
            prefix=prefix,
            **options,
        )


def refill(engine: Engine, now: datetime = NOW, seed: int = 7, **options: Any) -> Refilled:
    review = options.pop("review", REVIEW)
    with engine.begin() as connection:
        return refill_queue(connection, "topic", review=review, now=now, seed=seed, **options)


def items(engine: Engine, **columns: Any) -> list[sa.Row[Any]]:
    query = sa.select(review_item).order_by(review_item.c.score.desc(), review_item.c.id)
    for name, value in columns.items():
        query = query.where(review_item.c[name] == value)
    with engine.connect() as connection:
        return list(connection.execute(query))


def mixed_phrases(count: int) -> list[str]:
    return [f"label{number % 20:02d}w{number} word" for number in range(count)]


def test_a_week_of_labels_fills_the_queue_and_a_second_refill_adds_none(engine: Engine) -> None:
    answers(engine, mixed_phrases(400))
    first = refill(engine)
    assert (first.added, sum(first.by_strategy.values())) == (40, 40)
    assert first.by_strategy["random"] == 8
    assert refill(engine).added == 0
    rows = items(engine)
    assert all(row.state == "open" and row.classifier == "topic" for row in rows)
    assert {row.probability for row in rows if row.strategy == "random"} == {8 / 400}
    assert {row.probability for row in rows if row.strategy != "random"} == {None}
    assert rows[0].phrase == rows[0].cleaned.upper()


def test_equal_log_and_seed_give_equal_items(engine: Engine) -> None:
    answers(engine, mixed_phrases(300))
    chosen = []
    for seed in (7, 7, 8):
        refill(engine, seed=seed)
        chosen.append([(row.request_id, row.strategy, row.score) for row in items(engine)])
        with engine.begin() as connection:
            connection.execute(review_item.delete())
            connection.execute(review_draw.delete())
    assert chosen[0] == chosen[1] != chosen[2]


def test_an_empty_log_gives_nothing(engine: Engine) -> None:
    assert refill(engine) == Refilled()
    answers(engine, ["load test"] * 30, key="loadtest-1")
    assert refill(engine) == Refilled()


def test_random_items_are_hidden_among_the_others(engine: Engine) -> None:
    answers(engine, mixed_phrases(400), probability=list(np.linspace(0.2, 0.9, 400)))
    refill(engine)
    rows = items(engine)
    places = [place for place, row in enumerate(rows) if row.strategy == "random"]
    assert len(places) == 8
    assert min(places) < 20 < max(places) < 40
    assert {row.score for row in rows if row.strategy == "random"} <= {
        row.score for row in rows if row.strategy != "random"
    }


def test_each_answer_has_one_chance_and_its_own_probability(engine: Engine) -> None:
    """Draws cover the log without overlap, at the pace of the week."""
    everything = ReviewParams.model_validate({"labels_per_week": 168, "shares": {"random": 1.0}})
    answers(engine, mixed_phrases(100), prefix="a")
    refill(engine, review=everything)
    assert len(items(engine)) == 100  # fewer answers than labels: all are drawn
    assert {row.probability for row in items(engine)} == {1.0}
    answers(engine, mixed_phrases(60), prefix="b", until=NOW + 6 * HOUR, days=0.2)
    refill(engine, NOW + 6 * HOUR, review=everything)
    later = [row for row in items(engine) if row.request_id.startswith("b")]
    assert len(later) == 6
    assert {row.probability for row in later} == {6 / 60}
    with engine.connect() as connection:
        rows = connection.execute(sa.select(review_draw).order_by(review_draw.c.id)).all()
    assert rows[0].last_sequence == rows[1].after_sequence
    assert [row.drawn for row in rows] == [100, 6]


def test_the_weighted_accuracy_of_the_random_sample_is_unbiased(engine: Engine) -> None:
    """Although doubtful answers are looked at by another strategy too, and hours differ.

    The truth: of quiet hours half of the answers are wrong, of busy ones a tenth.
    """
    review = ReviewParams.model_validate(
        {"labels_per_week": 200, "shares": {"random": 0.5, "low_confidence": 0.5}}
    )
    wrong: set[str] = set()
    total = 0
    random = np.random.default_rng(4)
    for number, (count, errors) in enumerate([(800, 0.1), (50, 0.5)] * 3):
        is_wrong = random.random(count) < errors
        phrases = [f"p{number} {place % 40} {bad}" for place, bad in enumerate(is_wrong)]
        ids = answers(
            engine, phrases, prefix=f"h{number}", days=0.9,
            until=NOW + timedelta(days=number),
            probability=list(np.where(is_wrong, 0.3, 0.9)),
        )  # fmt: skip
        total += count
        wrong |= {request for request, bad in zip(ids, is_wrong, strict=True) if bad}
    estimates = [_estimate(engine, review, wrong, seed=seed) for seed in range(40)]
    accuracy, answered = np.mean(estimates, axis=0)
    error = np.std(estimates, axis=0) / np.sqrt(len(estimates))
    assert accuracy == pytest.approx(1 - len(wrong) / total, abs=4 * error[0])
    assert answered == pytest.approx(total, abs=4 * error[1])


def _estimate(
    engine: Engine, review: ReviewParams, wrong: set[str], *, seed: int
) -> tuple[float, float]:
    """Refill after each day; return the accuracy and the answers that the random items tell."""
    with engine.begin() as connection:
        connection.execute(review_item.delete())
        connection.execute(review_draw.delete())
        for day in range(6):
            moment = NOW + timedelta(days=day)
            last = connection.scalar(
                sa.select(sa.func.max(inference.c.sequence)).where(
                    inference.c.occurred_at <= moment
                )
            )
            with pytest.MonkeyPatch.context() as patched:
                patched.setattr("monitoring.review.refill.newest_arrival", lambda _, to=last: to)
                refill_queue(connection, "topic", review=review, now=moment, seed=seed)
        rows = connection.execute(
            sa.select(review_item).where(review_item.c.strategy == "random")
        ).all()
    weights = np.array([1 / row.probability for row in rows])
    right = np.array([row.request_id not in wrong for row in rows])
    return float((weights * right).sum() / weights.sum()), float(weights.sum())


def test_a_long_log_is_read_in_stretches(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recent_log, "READ", 600)
    monkeypatch.setattr(draws, "READ", 600)
    monkeypatch.setattr(recent_log, "STRETCH", 20)
    often = ["often asked"] * 2000
    answers(engine, [*often, *mixed_phrases(2000)][::-1], probability=0.6)
    with engine.begin() as connection:
        connection.execute(
            inference.update()
            .where(sa.func.mod(inference.c.sequence, 2) == 1)
            .values(classifier="another")
        )
    with engine.connect() as connection:
        last = connection.scalar(sa.select(sa.func.max(inference.c.sequence)))
        recent = read_recent(connection, "topic", since=NOW - WEEK, last=last)
    assert recent is not None
    assert len(recent.rows) <= 601
    assert recent.answers == pytest.approx(2000, rel=0.02)
    refill(engine, review=ReviewParams(labels_per_week=400))
    rows = items(engine)
    drawn = [row for row in rows if row.strategy == "random"]
    [draw] = {row.probability for row in drawn}
    assert draw == pytest.approx(80 / 2000, rel=0.05)
    assert len(drawn) == pytest.approx(80, abs=30)
    share = np.mean([row.cleaned == "often asked" for row in drawn])
    assert 0.3 < share < 0.7


def test_two_strategies_ask_for_a_phrase_once(engine: Engine) -> None:
    """It was in the queue for its doubt; when it is drawn, the draw takes its place."""
    answers(engine, ["only phrase"] * 50)
    by_doubt = ReviewParams.model_validate({"shares": {"low_confidence": 1.0}})
    refill(engine, review=by_doubt)
    assert [row.strategy for row in items(engine)] == ["low_confidence"]
    with engine.begin() as connection:
        connection.execute(review_draw.delete())
    random = ReviewParams.model_validate({"labels_per_week": 1, "shares": {"random": 1.0}})
    assert refill(engine, review=random).withdrawn == 1
    states = {row.strategy: row.state for row in items(engine)}
    assert states == {"low_confidence": "withdrawn", "random": "open"}


def test_phrases_that_people_labelled_are_withdrawn_and_not_asked_again(engine: Engine) -> None:
    ids = answers(engine, mixed_phrases(30))
    review = ReviewParams.model_validate({"shares": {"low_confidence": 1.0}})
    assert refill(engine, review=review).added == 30
    with engine.begin() as connection:
        record_feedback(
            connection, request_id=ids[3], label="label05", author="ada", received_at=NOW
        )
    done = refill(engine, NOW + HOUR, review=review)
    assert (done.added, done.withdrawn) == (0, 1)
    [withdrawn] = items(engine, state="withdrawn")
    assert withdrawn.request_id == ids[3]


def test_pinned_phrases_are_drawn_at_random_alone(engine: Engine) -> None:
    """Their label is fixed already; the accuracy of all answers counts them all the same."""
    answers(engine, ["pinned phrase"] * 20 + ["another phrase"] * 20)
    fixed = {"classifier": "topic", "cleaned": "pinned phrase", "label": "label05"}
    with engine.begin() as connection:
        connection.execute(pin.insert().values(**fixed, since=NOW, author="ada", why="test"))
    refill(engine, review=ReviewParams.model_validate({"shares": {"low_confidence": 1.0}}))
    assert [row.cleaned for row in items(engine)] == ["another phrase"]
    with engine.begin() as connection:
        connection.execute(review_draw.delete())
    refill(engine, review=ReviewParams.model_validate({"shares": {"random": 1.0}}))
    drawn = [row.cleaned for row in items(engine) if row.strategy == "random"]
    assert (len(drawn), set(drawn)) == (40, {"pinned phrase", "another phrase"})


def test_what_somebody_has_open_stays_and_old_items_go(engine: Engine) -> None:
    answers(engine, mixed_phrases(12))
    refill(engine)
    held = items(engine)[0].id
    later = NOW + timedelta(days=29)
    with engine.begin() as connection:
        connection.execute(
            review_lease.insert().values(item=held, person="ada", until=later + HOUR)
        )
    answers(engine, ["still asked"], prefix="z", until=later, days=0.1)
    refill(engine, later)
    left = {row.id: row.state for row in items(engine) if row.created_at == NOW}
    assert left.pop(held) == "open"
    assert set(left.values()) == {"withdrawn"}


def test_a_draw_without_answers_leaves_its_share_to_the_next(engine: Engine) -> None:
    everything = ReviewParams.model_validate({"labels_per_week": 168, "shares": {"random": 1.0}})
    answers(engine, mixed_phrases(100), prefix="a")
    refill(engine, review=everything)
    for hour in range(1, 6):
        refill(engine, NOW + hour * HOUR, review=everything)  # at night nobody asks
    answers(engine, mixed_phrases(60), prefix="b", until=NOW + 6 * HOUR, days=0.2)
    refill(engine, NOW + 6 * HOUR, review=everything)
    later = [row for row in items(engine) if row.request_id.startswith("b")]
    assert len(later) == 6
    assert {row.probability for row in later} == {6 / 60}


def test_items_that_wait_for_another_person_neither_fill_the_week_nor_lose_their_label(
    engine: Engine,
) -> None:
    """Of two reviewers, one has left: each week, what one alone can do goes on."""
    twice = ReviewParams.model_validate({"twice": 1.0})
    answers(engine, mixed_phrases(400))
    added = refill(engine, review=twice).added
    with engine.begin() as connection:
        for row in items(engine):
            skips = row.id % 4 == 0 and row.probability is None
            given = Answer("skip", reason="unsure") if skips else Answer("label", "other")
            act = Act(f"act-{row.id}", "ada", given)
            answer_item(connection, "topic", row.id, act, now=NOW + HOUR)
    answered = {row.id for row in items(engine)}
    week_later = NOW + timedelta(days=7, hours=1)
    answers(engine, [f"new {n}" for n in range(400)], prefix="z", until=week_later)
    assert refill(engine, week_later, review=twice).added >= added / 2
    later = NOW + timedelta(days=29)
    answers(engine, ["still asked"], prefix="y", until=later, days=0.1)
    refill(engine, later, review=twice)
    states = {row.id: (row.state, row.decided_label) for row in items(engine) if row.id in answered}
    assert set(states.values()) <= {("decided", "other"), ("withdrawn", None)}
    with engine.connect() as connection:
        skipped = set(
            connection.scalars(
                sa.select(review_answer.c.item).where(review_answer.c.kind == "skip")
            )
        )
    assert {item for item, (state, _) in states.items() if state == "withdrawn"} == skipped


def test_phrases_that_a_drift_asks_for_come_first(engine: Engine) -> None:
    answers(engine, [*mixed_phrases(200), "odd strange", "odd new"])
    moved = [
        {"phrase": "odd strange", "label": "label00", "rows": 40.0},
        {"phrase": "odd new", "label": "label00", "rows": 20.0},
    ]
    windows = [{"number": 3, "verdict": "needs_labels"}]
    verdict = Verdict("needs_labels", ("x",), {"moved_phrases": moved, "windows": windows})
    with engine.begin() as connection:
        record_decision(
            connection, verdict, classifier="topic", subject="drift", decided_at=NOW - HOUR
        )
    refill(engine)
    wanted = {"odd strange", "odd new"}
    drawn = {row.cleaned for row in items(engine) if row.strategy == "random"} & wanted
    others = [row for row in items(engine) if row.strategy != "random"]
    first = others[: len(wanted - drawn)]  # what the draw has taken is asked once, as the draw
    assert {row.cleaned for row in first} == wanted - drawn
    assert {row.strategy for row in first} <= {"requested"}


def test_disagreement_unseen_labels_and_contradictions_are_found(engine: Engine) -> None:
    phrases = [f"{name}{number}" for name in ("calm", "split", "blind") for number in range(4)]
    labels = ["label00"] * 8 + ["label19"] * 4
    ids = answers(engine, phrases, label=labels, probability=0.95)
    moments = [NOW - timedelta(days=1)] * 4
    shadow = pd.DataFrame({
        "occurred_at": moments, "region": None, "cleaned": phrases[4:8],
        "label": "label07", "confidence": 0.6,
    })  # fmt: skip
    head = make_answering_head()
    champion = PhraseClassifier(head, embed_words)
    with engine.begin() as connection:
        shadow_rows = log(
            connection, shadow, classifier="topic", version="2", role="shadow", prefix="s"
        )
        for own, other in zip(ids[4:8], shadow_rows, strict=True):
            connection.execute(
                inference.update().where(inference.c.request_id == other).values(request_id=own)
            )
        record_decision(
            connection,
            Verdict("keep", ("x",), {"seen_labels": list(head.labels[:19])}),
            classifier="topic",
            subject="gate",
            decided_at=NOW,
        )
        for author, label in (("ada", "label01"), ("bob", "label02")):
            record_feedback(
                connection, request_id=ids[0], label=label, author=author, received_at=NOW
            )
    _with_shadow(engine)
    shares = {"disagreement": 0.4, "unseen": 0.4, "contradicted": 0.2}
    review = ReviewParams.model_validate({"labels_per_week": 10, "shares": shares})
    refill(engine, review=review, open_versions=lambda: Versions(champion))
    by_strategy: dict[str, set[str]] = {}
    for row in items(engine):
        by_strategy.setdefault(row.strategy, set()).add(row.cleaned)
    assert by_strategy == {
        "disagreement": set(phrases[4:8]),
        "unseen": set(phrases[8:]),
        "contradicted": {"calm0"},
    }


def _with_shadow(engine: Engine) -> None:
    from core.contracts import ModelVersion

    model = ModelVersion("topic", "2", "models/topic/2", "digest", "words-1")
    with engine.begin() as connection:
        append_deployment(connection, Deployment(model, "shadow", 1.0, NOW, "test"))


def test_novel_phrases_are_clustered_and_a_candidate_is_compared(
    engine: Engine, tmp_path: Path
) -> None:
    usual = [f"label{number:02d}w1 label{number:02d}w2" for number in range(20)]
    odd = ["odd thing lies right here", "odd thing lies right there", "strange matter"]
    labels = [f"label{number:02d}" for number in range(20)] + ["label00"] * 3
    answers(engine, [*usual, *odd], label=labels)
    model = store_model(tmp_path, classifier="topic", version="1", reference=None)
    with engine.begin() as connection:
        promote(connection, model)
    head = make_answering_head()
    champion = PhraseClassifier(head, embed_words)
    shares = {"novel": 0.5, "disagreement": 0.5}
    review = ReviewParams.model_validate({"labels_per_week": 6, "shares": shares})
    refill(engine, review=review, open_versions=lambda: Versions(champion, champion))
    novel = [row.cleaned for row in items(engine) if row.strategy == "novel"]
    assert len(novel) == 3
    assert novel[0] in odd[:2]
    assert len(set(odd[:2]) & set(novel)) == 1  # one of each cluster
    answered = champion.predict([*usual, *odd])
    wrong = {
        phrase
        for phrase, label, other in zip([*usual, *odd], labels, answered, strict=True)
        if other.label != label
    }
    disagreeing = {row.cleaned for row in items(engine) if row.strategy == "disagreement"}
    assert disagreeing and disagreeing <= wrong


def test_a_fix_tells_how_many_answers_it_concerns(engine: Engine) -> None:
    answers(engine, ["broken arm"] * 5 + ["broken leg"] * 3 + ["fever"])
    answers(engine, ["broken arm"] * 2, prefix="s", role="shadow", version="2")
    answers(engine, ["broken arm"] * 2, prefix="l", key="loadtest-x")

    def concerned(*phrases: str, classifier: str = "topic") -> int:
        with engine.connect() as connection:
            found = logged_phrases(connection, classifier, phrases)
        return sum(phrase.answers for phrase in found)

    assert concerned("broken arm", "broken leg") == 8
    assert concerned("broken arm", "broken arm") == 5
    assert concerned("unknown", "") == concerned() == 0
    assert concerned("broken arm", classifier="organ") == 0
