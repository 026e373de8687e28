"""Searches the log of answers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from core.contracts import ANSWERING
from core.tables import inference
from monitoring.feedback import newest_feedback


@dataclass(frozen=True)
class Search:
    """Which answers are looked for; a field that is None does not restrict them.

    `text` is a part of the phrase in any case, `below` an upper limit of the probability.
    `unlabelled` leaves out answers that have a right label.
    """

    classifier: str
    text: str | None = None
    label: str | None = None
    version: str | None = None
    below: float | None = None
    since: datetime | None = None
    until: datetime | None = None
    unlabelled: bool = False
    limit: int = 20


@dataclass(frozen=True)
class FoundAnswer:
    """A logged answer; `right` is its newest right label, None without feedback."""

    occurred_at: datetime
    request_id: str
    version: str
    phrase: str
    label: str
    probability: float
    right: str | None


def search_answers(connection: Connection, search: Search) -> list[FoundAnswer]:
    """Return the newest matching answers, newest first."""
    newest = newest_feedback()
    names = [name for name in FoundAnswer.__dataclass_fields__ if name != "right"]
    query = (
        sa.select(*(inference.c[name] for name in names), newest.c.label.label("right"))
        .join(newest, newest.c.request_id == inference.c.request_id, isouter=True)
        .where(inference.c.classifier == search.classifier, inference.c.role.in_(ANSWERING))
        .where(*_conditions(search))
        .order_by(inference.c.occurred_at.desc(), inference.c.request_id.desc())
        .limit(search.limit)
    )
    if search.unlabelled:
        query = query.where(newest.c.id.is_(None))
    return [FoundAnswer(*row) for row in connection.execute(query)]


def _conditions(search: Search) -> Iterator[sa.ColumnElement[bool]]:
    if search.text is not None:
        yield inference.c.phrase.icontains(search.text, autoescape=True)
    if search.label is not None:
        yield inference.c.label == search.label
    if search.version is not None:
        yield inference.c.version == search.version
    if search.below is not None:
        yield inference.c.probability < search.below
    if search.since is not None:
        yield inference.c.occurred_at >= search.since
    if search.until is not None:
        yield inference.c.occurred_at < search.until
