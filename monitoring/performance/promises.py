"""Whether the version that answers keeps what it promised when it was trained.

The promise is the share that it answers alone, and how many of these answers are right at least.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from core.contracts import ModelVersion
from core.deployments import history
from core.tables.answers import ROUTED, answer_count
from core.tables.loop import asked_by_clients, inference
from monitoring.performance.estimates import Estimate, estimate_accuracy
from monitoring.performance.figures import choose_basis, label_codes, sample_of
from monitoring.performance.judged_answers import newest_judged

Standing = Literal["kept", "broken", "open"]
ESTIMATED = 10_000
"""Newest answers whose mean confidence supports the estimate."""


@dataclass(frozen=True)
class Promise:
    """What the champion promised, and what is known of it since `since`.

    `answers` of the version are counted, a share `answered` of them was given alone. `judges`
    labels stand for these; `precision` is None without any.
    """

    version: str
    since: datetime
    promised_answered: float
    promised_precision: float
    answers: int
    answered: float | None
    judges: int
    precision: Estimate | None

    @property
    def standing(self) -> Standing:
        """Kept: the whole interval lies above the promise; broken: below; open: neither."""
        if self.precision is None:
            return "open"
        if self.precision.low >= self.promised_precision:
            return "kept"
        return "broken" if self.precision.high < self.promised_precision else "open"


def check_promise(connection: Connection, classifier: str) -> Promise | None:
    """Compare the champion's promise with its labels; None for one that always answers."""
    entries = [entry for entry in history(connection, classifier) if entry.role == "champion"]
    if not entries or not entries[-1].share:
        return None

    model = entries[-1].model
    promised = read_promise(model)
    if promised is None:
        return None

    since = min(entry.since for entry in entries if entry.model.version == model.version)
    answers, answered = _counted(connection, model)
    judged = newest_judged(connection, classifier, version=model.version, since=since)
    _, basis = choose_basis([row for row in judged if not row.abstained])
    size = max(
        round(answers * (answered or 0.0)), round(sum(1 / (row.drawn or 1) for row in basis))
    )
    mean = _mean_confidence(connection, model, since)
    sample = sample_of(basis, label_codes(basis), size=size, mean_probability=mean)

    return Promise(
        model.version,
        since,
        promised["answered"],
        promised["precision"],
        answers,
        answered,
        len(basis),
        estimate_accuracy(sample),
    )


def read_promise(model: ModelVersion) -> dict[str, float] | None:
    """Return the promise of a version's evaluation; None without one, or without the file."""
    try:
        text = (Path(model.head_location) / "evaluation.json").read_text(encoding="utf-8")
        evaluation: dict[str, Any] = json.loads(text)
    except (OSError, ValueError):
        return None
    promise: dict[str, float] | None = (evaluation.get("abstention") or {}).get("promise")
    return promise


def describe_promise(promise: Promise | None) -> str:
    """Return in a sentence whether the promise is kept; "" without one."""
    if promise is None:
        return ""
    sentence = (
        f"version {promise.version} promised to answer {_percent(promise.promised_answered)} alone "
        f"at {_percent(promise.promised_precision)} or better"
    )
    if promise.answered is None:
        return f"{sentence}; none of its answers is counted yet"
    done = f"it answers {_percent(promise.answered)} of {promise.answers:,}"
    if promise.precision is None:
        return f"{sentence}; {done}, and no label stands for these answers yet"
    low = _percent(promise.precision.low)
    high = _percent(promise.precision.high)
    right = (
        f"{_percent(promise.precision.value)} right ({low} to {high}) by {promise.judges:,} labels"
    )
    return f"{sentence}; {done}, {right}: {WORDS[promise.standing]}"


WORDS = {
    "kept": "the promise is kept",
    "broken": "the promise is broken",
    "open": "the labels do not decide yet",
}


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _counted(connection: Connection, model: ModelVersion) -> tuple[int, float | None]:
    """Return the counted answers of a version, and the share that was not refused."""
    table = answer_count.c
    query = sa.select(sa.func.sum(table.answers), sa.func.sum(table.abstained)).where(
        table.classifier == model.classifier,
        table.version == model.version,
        sa.not_(table.shadow),
    )
    answers, abstained = connection.execute(query).one()
    return int(answers or 0), 1 - float(abstained) / float(answers) if answers else None


def _mean_confidence(connection: Connection, model: ModelVersion, since: datetime) -> float:
    """Return the mean probability of the newest answers that were given alone."""
    newest = (
        sa.select(inference.c.probability, inference.c.abstained)
        .where(
            inference.c.classifier == model.classifier,
            inference.c.version == model.version,
            inference.c.occurred_at >= since,
            inference.c.role.in_(ROUTED),
            asked_by_clients(),
        )
        .order_by(inference.c.occurred_at.desc())
        .limit(ESTIMATED)
        .subquery()
    )
    given = sa.not_(sa.func.coalesce(newest.c.abstained, sa.false()))
    return connection.scalar(sa.select(sa.func.avg(newest.c.probability)).where(given)) or 0.0
