"""Searches the log of answers, page by page, newest first.

Every page reads a bounded number of rows. Where an index finds few rows, all of them are read.
Otherwise the log is walked back from the end of the page before, at most WALKED rows at a time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from core.contracts import ANSWERING
from core.tables.loop import feedback, inference
from core.tables.phrases import phrase_key
from core.tables.pins import answered_label, was_refused
from monitoring.phrase_search import matching_keys, phrase_matches

FEW = 5_000
"""As many rows are read by an index and sorted within a tenth of a second."""
WALKED = 100_000
"""As many rows are walked back within two tenths of a second."""


@dataclass(frozen=True)
class Place:
    """A row's place in the order of a search: by moment, then request, then version."""

    occurred_at: datetime
    request_id: str
    version: str


@dataclass(frozen=True)
class Search:
    """Which answers are looked for; a field that is None does not restrict them.

    `text` holds words or parts of words of the phrase in any case, `below` an upper limit of the
    probability. Without `role`, the rows are those that answered. `unlabelled` leaves out answers
    that have a right label, `abstained` those that were not refused. `before` is where the page
    before ended.
    """

    classifier: str
    text: str | None = None
    label: str | None = None
    version: str | None = None
    below: float | None = None
    since: datetime | None = None
    until: datetime | None = None
    unlabelled: bool = False
    abstained: bool = False
    limit: int = 20
    role: str | None = None
    region: str | None = None
    request_id: str | None = None
    before: Place | None = None


@dataclass(frozen=True)
class FoundAnswer:
    """A logged answer; `right` is its newest right label, None without feedback.

    `label` is what the client got: of a `pinned` answer, not what the version said. `probability`
    is that of the version. An `abstained` answer told the client that no label fits; its `label` is
    the best guess.
    """

    occurred_at: datetime
    request_id: str
    version: str
    phrase: str
    label: str
    probability: float
    right: str | None
    role: str
    region: str | None
    pinned: bool
    abstained: bool


@dataclass(frozen=True)
class AnswerPage:
    """At most `limit` answers; older ones may follow from `older` on, None at the end of the log.

    A page with fewer answers than the limit and a place ended at the bound of the walk.
    """

    answers: Sequence[FoundAnswer]
    older: Place | None


def search_answers(connection: Connection, search: Search) -> list[FoundAnswer]:
    """Return the newest matching answers, newest first, however far back they are."""
    answers: list[FoundAnswer] = []
    before = search.before
    while len(answers) < search.limit:
        left = search.limit - len(answers)
        page = answer_page(connection, replace(search, before=before, limit=left))
        answers += page.answers
        before = page.older
        if before is None:
            break
    return answers


def answer_page(connection: Connection, search: Search) -> AnswerPage:
    """Return one page of the matching answers, newest first; it reads a bounded number of rows."""
    few = _few(connection, search)
    if few is not None:
        chosen = sa.select(*_COLUMNS).where(*_bounds(search), few.condition).cte("chosen")
        return _page(connection, few.rest, chosen.prefix_with("materialized"))

    walked = sa.select(*_COLUMNS).where(*_bounds(search)).order_by(*_newest(inference.c))
    page = _page(connection, search, walked.limit(WALKED).subquery("walked"))
    return page if page.older else AnswerPage(page.answers, _end(connection, walked))


_PLACE = ("occurred_at", "request_id", "version")
_COLUMNS = [
    *(
        inference.c[name]
        for name in (*_PLACE, "phrase", "cleaned", "probability", "role", "region")
    ),
    answered_label().label("label"),
    inference.c.pin.is_not(None).label("pinned"),
    was_refused().label("abstained"),
]
Columns = sa.ColumnCollection[str, sa.ColumnElement[Any]]


@dataclass(frozen=True)
class _Indexed:
    """A field of a search as a condition that an index serves, and the search without the field."""

    condition: sa.ColumnElement[bool]
    rest: Search


def _few(connection: Connection, search: Search) -> _Indexed | None:
    """Return the field by which an index finds at most FEW rows, None without one."""
    if search.request_id is not None:
        of_request = inference.c.request_id == search.request_id
        return _Indexed(of_request, replace(search, request_id=None))
    for indexed in _indexed(connection, search):
        rows = sa.select(sa.literal(1)).where(
            inference.c.classifier == search.classifier, indexed.condition
        )
        counted = sa.select(sa.func.count()).select_from(rows.limit(FEW + 1).subquery())
        if connection.scalars(counted).one() <= FEW:
            return indexed
    return None


def _indexed(connection: Connection, search: Search) -> Iterator[_Indexed]:
    if search.text is not None:
        keys = matching_keys(connection, search.classifier, search.text)
        if keys is not None:
            key = phrase_key(inference.c.cleaned)
            is_wanted = key == sa.any_(sa.cast(list(keys), _KEYS))
            yield _Indexed(is_wanted, replace(search, text=None))
    if search.label is not None:
        own = sa.and_(inference.c.pin.is_(None), inference.c.label == search.label)
        pinned = sa.and_(inference.c.pin.is_not(None), inference.c.pinned_label == search.label)
        is_wanted = sa.or_(own, pinned)
        yield _Indexed(is_wanted, replace(search, label=None))


_KEYS = sa.ARRAY(sa.BigInteger)


def _bounds(search: Search) -> Iterator[sa.ColumnElement[bool]]:
    """Conditions that an index in the order of the search serves."""
    yield inference.c.classifier == search.classifier
    if search.version is not None:
        yield inference.c.version == search.version
    if search.since is not None:
        yield inference.c.occurred_at >= search.since
    if search.until is not None:
        yield inference.c.occurred_at < search.until
    if search.before is not None:
        place = [getattr(search.before, name) for name in _PLACE]
        yield inference.c.occurred_at <= search.before.occurred_at
        yield sa.tuple_(*(inference.c[name] for name in _PLACE)) < sa.tuple_(*place)


def _newest(columns: Columns) -> list[sa.UnaryExpression[Any]]:
    return [columns[name].desc() for name in _PLACE]


def _page(connection: Connection, search: Search, source: sa.FromClause) -> AnswerPage:
    """Return the newest of the rows of `source` that match."""
    query = (
        sa.select(source)
        .where(*_filters(connection, search, source.c))
        .order_by(*_newest(source.c))
        .limit(search.limit + 1)
    )
    rows = connection.execute(query).all()
    shown = rows[: search.limit]
    right = _right_labels(connection, [row.request_id for row in shown])
    names = [name for name in FoundAnswer.__dataclass_fields__ if name != "right"]
    answers = [
        FoundAnswer(**{name: getattr(row, name) for name in names}, right=right.get(row.request_id))
        for row in shown
    ]
    return AnswerPage(answers, _place(shown[-1]) if len(rows) > len(shown) else None)


def _filters(
    connection: Connection, search: Search, columns: Columns
) -> Iterator[sa.ColumnElement[bool]]:
    roles = ANSWERING if search.role is None else (search.role,)
    yield columns["role"].in_(roles)
    if search.text is not None:
        yield from phrase_matches(connection, columns["cleaned"], search.text)
    if search.label is not None:
        yield columns["label"] == search.label
    if search.region is not None:
        yield columns["region"] == search.region
    if search.below is not None:
        yield columns["probability"] < search.below
    if search.abstained:
        yield columns["abstained"]
    if search.unlabelled:
        of_answer = feedback.c.request_id == columns["request_id"]
        yield ~sa.exists(sa.select(feedback.c.id).where(of_answer))


def _end(connection: Connection, walked: sa.Select[Any]) -> Place | None:
    """Return where a walk ended, None when it reached the end of the log."""
    places = walked.with_only_columns(*(inference.c[name] for name in _PLACE))
    row = connection.execute(places.offset(WALKED - 1).limit(1)).one_or_none()
    return _place(row) if row else None


def _place(row: sa.Row[Any]) -> Place:
    return Place(row.occurred_at, row.request_id, row.version)


def _right_labels(connection: Connection, request_ids: Sequence[str]) -> dict[str, str]:
    """Return request id -> its newest right label."""
    table = feedback.c
    query = (
        sa.select(table.request_id, table.label)
        .distinct(table.request_id)
        .where(table.request_id.in_(request_ids))
        .order_by(table.request_id, table.received_at.desc(), table.id.desc())
    )
    return {request_id: label for request_id, label in connection.execute(query)}
