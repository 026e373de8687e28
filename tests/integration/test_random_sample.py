"""From the queue to a figure: only the random sample stands for all answers."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Engine

from core.params.review import ReviewParams
from core.tables.loop import feedback
from core.tables.review import review_item
from monitoring.performance.answer_counts import count_answers
from monitoring.performance.figures import measure_by
from monitoring.performance.periods import Period
from monitoring.review.acts import Act, answer_item
from monitoring.review.deciding import Answer
from monitoring.review.refill import refill_queue
from tests.support.traffic import log

NOW = datetime(2026, 3, 10, tzinfo=UTC)
REVIEW = ReviewParams.model_validate(
    {"labels_per_week": 200, "shares": {"random": 0.5, "low_confidence": 0.5}}
)


def test_labels_of_the_queue_give_the_accuracy_of_all_answers(engine: Engine) -> None:
    """400 answers, a quarter wrong; of the wrong ones, half have no right label at all.

    The other strategy finds every wrong answer, some of them in the sample, too.
    """
    random = np.random.default_rng(3)
    wrong = random.random(400) < 0.25
    rows = pd.DataFrame({
        "occurred_at": [NOW - timedelta(hours=140 * (1 - n / 400)) for n in range(400)],
        "region": None, "cleaned": [f"phrase {n}" for n in range(400)],
        "label": "label00", "confidence": np.where(wrong, 0.3, 0.9),
    })  # fmt: skip
    with engine.begin() as connection:
        ids = log(connection, rows, classifier="topic", version="1")
    with engine.begin() as connection:
        refill_queue(connection, "topic", review=REVIEW, now=NOW, seed=7)
    truth = dict(zip(ids, wrong, strict=True))
    decide_all(engine, truth)

    with engine.connect() as connection:
        given = connection.execute(sa.select(feedback)).all()
    sampled = [row for row in given if row.probability is not None]
    assert len(sampled) == 100
    assert {row.probability for row in sampled} == {100 / 400}
    assert sum(truth[row.request_id] for row in given) > 90  # nearly all wrong answers are found
    share_right = np.mean([not truth[row.request_id] for row in sampled])
    counted = count_answers(engine, "topic", now=NOW)
    with engine.connect() as connection:
        [figure] = measure_by(connection, "topic", by=(), period=Period(), counted=counted.until)
    assert (figure.basis, figure.sampled) == ("sample", 100)
    assert figure.accuracy is not None
    assert figure.accuracy.low < 1 - wrong.mean() < figure.accuracy.high
    assert figure.accuracy.value == pytest.approx(share_right, abs=0.07)


def decide_all(engine: Engine, truth: dict[str, bool]) -> None:
    """One person answers every item rightly; every second wrong answer has no right label."""
    with engine.begin() as connection:
        items = connection.execute(sa.select(review_item).order_by(review_item.c.id)).all()
        for item in items:
            if truth[item.request_id]:
                none = item.id % 2 == 0
                answer = Answer("none_of_these", None) if none else Answer("label", "label01")
            else:
                answer = Answer("label", item.label)
            act = Act(f"act-{item.id}", "ada", answer, alone=True)
            answer_item(connection, "topic", item.id, act, now=NOW + timedelta(hours=1))
