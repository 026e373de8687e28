"""The phrases that clients asked and nobody labelled, read from the log for a snapshot."""

from __future__ import annotations

from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from core.logs import get_logger
from core.pins import read_pins
from core.tables.loop import feedback, inference
from monitoring.drift.faults import is_faulty
from monitoring.labels.feedback import answered
from monitoring.review.recent_log import routed
from pipelines.unlabelled import UnlabelledPhrases, by_frequency

MOST_PHRASES = 400_000
"""Distinct phrases that are read, the most frequent ones: 100 MB at most in ordinary lengths."""
SHOWN = 200


def read_unlabelled_phrases(
    engine: Engine, classifier: str, *, days: int, as_of: datetime
) -> UnlabelledPhrases:
    """Return the phrases of the `days` before `as_of` that no person labelled, refused or pinned.

    A log that cannot be read gives no phrases and a problem: a snapshot goes on without them.
    """
    try:
        with engine.connect() as connection:
            return unlabelled_phrases(connection, classifier, days=days, as_of=as_of)
    except sa.exc.SQLAlchemyError as error:
        first = str(error).splitlines()[0][:SHOWN]
        get_logger().warning("unlabelled phrases", classifier=classifier, error=first)
        return UnlabelledPhrases(problem=f"the log could not be read: {first}")


def unlabelled_phrases(
    connection: Connection, classifier: str, *, days: int, as_of: datetime
) -> UnlabelledPhrases:
    """Do what `read_unlabelled_phrases` does; raises where the log cannot be read.

    Answers in windows that people called a fault of the data do not count, nor do load tests.
    """
    moment = inference.c.occurred_at
    within = moment.between(as_of - timedelta(days=days), as_of)
    asks = sa.func.count()
    query = (
        routed(classifier)
        .with_only_columns(inference.c.cleaned, asks)
        .where(within, ~is_faulty(inference, as_of=as_of))
        .group_by(inference.c.cleaned)
        .order_by(asks.desc(), inference.c.cleaned.collate("C"))
        .limit(MOST_PHRASES)
    )
    counts = [(row[0], row[1]) for row in connection.execute(query)]
    return by_frequency(counts).without(_judged_by_people(connection, classifier, as_of=as_of))


def _judged_by_people(connection: Connection, classifier: str, *, as_of: datetime) -> set[str]:
    """Return the phrases with a label, a "none of these" or a pin by `as_of`."""
    given = (
        sa.select(feedback)
        .where(feedback.c.classifier == classifier, feedback.c.received_at <= as_of)
        .subquery()
    )
    answer = answered(sa.select(given.c.request_id))
    query = sa.select(sa.func.coalesce(given.c.cleaned, answer.c.cleaned)).outerjoin_from(
        given, answer, answer.c.request_id == given.c.request_id
    )
    judged = {phrase for phrase in connection.scalars(query) if phrase is not None}
    pinned = read_pins(connection, now=as_of, classifier=classifier).pins
    return judged | {pin.cleaned for pin in pinned}
