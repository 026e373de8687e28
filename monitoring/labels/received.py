"""Every label that people and systems sent of a classifier's answers, in order of receipt."""

from __future__ import annotations

import time
from datetime import datetime
from typing import Any

import pandas as pd
import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from core.errors import Busy
from core.feedback import is_decision
from core.memory_revisions import MemoryRevision
from core.tables.loop import feedback
from core.tables.pins import says_more_than_the_pin
from monitoring.drift.faults import faults_changed, is_faulty
from monitoring.labels.feedback import CORRECTED, answered

COLUMNS = (
    "id",
    "request_id",
    "cleaned",
    "label",
    "received_at",
    "author",
    "kind",
    "head_label",
)
WAIT_SECONDS = 60
"""For an import that is under way; a file of 100,000 rows takes less."""
TRY_SECONDS = 2
"""Inserts wait behind the request for a lock, so it is given up soon and repeated."""
AT_ONCE_SECONDS = 0.05
PAUSE_SECONDS = 0.5
LOCK_NOT_AVAILABLE = "55P03"


def newest_settled(engine: Engine) -> int:
    """Return the highest id of feedback; no row at or below it appears later.

    A transaction that has taken its ids may commit after one that took higher ones. So the id is
    read while no insert is under way: writers wait for the moment that it takes, and at most
    TRY_SECONDS at a time for a writer that does not end. Raises `Busy` after WAIT_SECONDS.
    """
    deadline = time.monotonic() + WAIT_SECONDS
    while True:
        left = deadline - time.monotonic()
        newest = _newest_between_inserts(engine, seconds=max(min(TRY_SECONDS, left), 0.1))
        if newest is not None:
            return newest
        if time.monotonic() + PAUSE_SECONDS >= deadline:
            raise Busy(
                "every import of feedback to end",
                came=f"one that takes more than {WAIT_SECONDS} s",
                do="wait for it, or end the session that left its transaction open",
            )
        time.sleep(PAUSE_SECONDS)


def newest_settled_at_once(engine: Engine) -> int | None:
    """Return the same within AT_ONCE_SECONDS, None while an insert is under way."""
    return _newest_between_inserts(engine, seconds=AT_ONCE_SECONDS)


def _newest_between_inserts(engine: Engine, *, seconds: float) -> int | None:
    """Return the highest id of feedback, 0 without any; None when an insert stays under way."""
    with engine.begin() as connection:
        connection.execute(sa.text(f"set local lock_timeout = '{round(1000 * seconds)}ms'"))
        try:
            connection.execute(sa.text("lock table feedback in share mode"))
        except sa.exc.OperationalError as error:
            if getattr(error.orig, "sqlstate", None) != LOCK_NOT_AVAILABLE:
                raise
            return None
        return connection.scalar(sa.select(sa.func.max(feedback.c.id))) or 0


def received_labels(
    connection: Connection, *, classifier: str, received_by: datetime, newest: int | None = None
) -> pd.DataFrame:
    """Return COLUMNS of all feedback received by a moment, in order of (received_at, id).

    `newest` is the highest id that counts, None for no limit.

    `request_id` is the id of the row of a snapshot that the label is for. `head_label` is what the
    head alone answered then, "" for an example; labels are trimmed. Unlike
    the rows of a snapshot, earlier labels of a request that was corrected again are in it: authors
    who contradict each other are evidence too. Feedback on an answer that the log no longer holds,
    or that people called a fault of the data by then, is left out, and so is feedback that only
    repeats the pin of its answer. A decision that no label fits a row of the source is in it, with
    the kind NONE_OF_THESE and no label.
    """
    answer = answered(CORRECTED)
    cleaned = sa.func.coalesce(feedback.c.cleaned, answer.c.cleaned)
    label = sa.func.btrim(feedback.c.label)
    query = (
        sa.select(*_columns(answer, cleaned, label))
        .outerjoin(answer, answer.c.request_id == feedback.c.request_id)
        .where(
            feedback.c.classifier == classifier,
            is_decision(),
            feedback.c.received_at <= received_by,
            cleaned.is_not(None),
            ~is_faulty(answer, as_of=received_by),
            says_more_than_the_pin(answer, label),
            sa.true() if newest is None else feedback.c.id <= newest,
        )
        .order_by(feedback.c.received_at, feedback.c.id)
    )
    rows = [tuple(row) for row in connection.execute(query)]
    return pd.DataFrame.from_records(rows, columns=list(COLUMNS))


def _columns(answer: sa.Subquery, cleaned: Any, label: Any) -> list[Any]:
    """Return what COLUMNS name."""
    return [
        feedback.c.id,
        sa.func.coalesce(feedback.c.source_row, feedback.c.request_id).label("request_id"),
        cleaned.label("cleaned"),
        label.label("label"),
        feedback.c.received_at,
        feedback.c.author,
        feedback.c.kind,
        sa.func.coalesce(answer.c.head_label, answer.c.label, "").label("head_label"),
    ]


def labels_since(
    connection: Connection, *, classifier: str, revision: MemoryRevision, now: datetime
) -> bool:
    """Return True when feedback came that the revision does not know and that is due by `now`.

    Feedback dated in the future of its arrival waits until then. A window that people called a
    fault of the data takes labels away, and counts too.
    """
    if faults_changed(connection, classifier, since=revision.as_of, until=now):
        return True
    unknown = sa.or_(
        feedback.c.received_at > revision.as_of,
        feedback.c.id > (revision.last_feedback or 0),
    )
    query = sa.select(
        sa.exists().where(
            feedback.c.classifier == classifier,
            is_decision(),
            feedback.c.received_at <= now,
            unknown,
        )
    )
    return bool(connection.scalar(query))


def received_answers(
    engine: Engine, classifier: str, *, revision: MemoryRevision, now: datetime
) -> pd.DataFrame:
    """Return the `received_labels` about answers, due by `now`, with `is_new`.

    That is bool: whether the revision does not know the label.
    """
    with engine.connect() as connection:
        rows = received_labels(connection, classifier=classifier, received_by=now)
    # An imported file may date its labels before the revision; their ids are newer all the same.
    unknown = (rows["received_at"] > revision.as_of) | (rows["id"] > (revision.last_feedback or 0))
    return rows.assign(is_new=unknown)[rows["head_label"] != ""]
