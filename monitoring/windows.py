"""What the champion was asked, cut into windows by count: in order, without overlap, never across a change of champion."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from pathlib import Path

import pandas as pd
import pyarrow.compute as pc
import pyarrow.parquet as pq
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from core.params import DriftParams
from core.tables import asked_by_clients, inference

POOL_WINDOWS = 6
LEAST_ROWS = 100
SAID = ("label", "probability")
LOG_COLUMNS = ("occurred_at", "request_id", "region", "phrase", "cleaned", *SAID)

Span = tuple[datetime, datetime]
Key = tuple[datetime, str | None]
"""Of a row of traffic: its moment and request id. Without the id: the last row of that moment."""


@dataclass(frozen=True)
class Window:
    """A window of the log: `number` from 1, `first` (from 0) among the traffic that was not reported yet, `rows`."""

    number: int
    first: int
    rows: int


def effective_window(reference: Path, drift: DriftParams) -> int:
    """Return the rows of one window: `window_rows`, or a sixth of the rows that the reference stands for, at least 100."""
    return window_size(pool_rows(reference), window_rows=drift.window_rows)


def pool_rows(reference: Path) -> float:
    """Sum of the weights in reference.parquet; 0 when there is no such file."""
    if not reference.is_file():
        return 0.0
    return float(pc.sum(pq.read_table(reference, columns=["weight"])["weight"]).as_py() or 0)


def window_size(rows: float, *, window_rows: int) -> int:
    """As `effective_window`, from the number of rows that the reference stands for."""
    return max(min(window_rows, int(rows) // POOL_WINDOWS), LEAST_ROWS)


def read_windows(
    connection: Connection,
    *,
    classifier: str,
    version: str,
    size: int,
    reported: int = 0,
    after: Key | None = None,
    until: datetime | None = None,
) -> list[Window]:
    """Return every complete window of the version's log up to `until` that was not reported yet.

    They begin behind `after`, the last row of the newest reported window, whatever the log still holds of those: it may have been
    tidied, and rows that come late, from before that row, shift none.
    """
    found = tenures(connection, classifier=classifier, version=version, after=after, until=until)
    return cut_windows(found, reported=reported, size=size)


def cut_windows(tenures: Sequence[int], *, size: int, reported: int = 0) -> list[Window]:
    """Cut runs of rows into windows. Pure.

    Parameters
    ----------
    tenures : rows of traffic while the version was champion, one number for each uninterrupted tenure
    reported : number of the newest window reported so far
    size : rows of a window

    A window never spans two tenures: what a tenure leaves over is dropped.
    """
    starts = itertools.accumulate(tenures, initial=0)
    firsts = [
        start + place * size
        for start, rows in zip(starts, tenures, strict=False)
        for place in range(rows // size)
    ]
    return [Window(number, first, size) for number, first in enumerate(firsts, reported + 1)]


def tenures(
    connection: Connection,
    *,
    classifier: str,
    version: str,
    after: Key | None = None,
    until: datetime | None = None,
) -> list[int]:
    """Rows of traffic behind `after` while the version was champion, by tenure."""
    spans = _spans(connection, classifier, version, after, until)
    counts = (
        sa.select(sa.func.count()).select_from(
            _traffic(classifier, version, [span], after).subquery()
        )
        for span in spans
    )
    return [connection.scalar(count) or 0 for count in counts]


def read_log(
    connection: Connection,
    *,
    classifier: str,
    version: str,
    after: Key | None = None,
    rows: int | None = None,
) -> pd.DataFrame:
    """Return the traffic while a version was champion, in order of (occurred_at, request_id): LOG_COLUMNS, from behind `after` on.

    What a canary answered is in it, without label and probability: the champion has said nothing of these phrases.
    """
    spans = _spans(connection, classifier, version, after, None)
    ordered = _traffic(classifier, version, spans, after).order_by(
        inference.c.occurred_at, inference.c.request_id
    )
    return _frame(connection, ordered.limit(rows))


def read_window(
    connection: Connection, *, classifier: str, version: str, start: datetime, last: Key, rows: int
) -> pd.DataFrame:
    """Return what the log still holds of a reported window, in order: LOG_COLUMNS, the newest `rows` from `start` to the row `last`."""
    order = (inference.c.occurred_at.desc(), inference.c.request_id.desc())
    held = (
        _traffic(classifier, version, [(start, last[0])])
        .where(sa.not_(_behind(last)))
        .order_by(*order)
    )
    return _frame(connection, held.limit(rows)).iloc[::-1].reset_index(drop=True)


def _frame(connection: Connection, rows: sa.Select) -> pd.DataFrame:
    return pd.DataFrame.from_records(
        [tuple(row) for row in connection.execute(rows)], columns=list(LOG_COLUMNS)
    )


def _behind(key: Key | None) -> sa.ColumnElement[bool]:
    """True of rows of `inference` behind the one of that key, in order of (occurred_at, request_id)."""
    if key is None:
        return sa.true()
    moment, request = inference.c.occurred_at, inference.c.request_id
    if key[1] is None:
        return moment > key[0]
    return sa.and_(
        moment >= key[0], sa.or_(moment > key[0], request > key[1])
    )  # the first part finds the index


def _traffic(
    classifier: str, version: str, spans: Sequence[Span], after: Key | None = None
) -> sa.Select:
    """What clients asked while the version was champion: what it answered, and what a canary answered instead of it."""
    mine, instead = (
        sa.and_(inference.c.role == "champion", inference.c.version == version),
        inference.c.role == "canary",
    )
    columns = [
        sa.case((mine, inference.c[name])) if name in SAID else inference.c[name]
        for name in LOG_COLUMNS
    ]
    within = sa.or_(sa.false(), *(inference.c.occurred_at.between(*span) for span in spans))
    asked = sa.and_(inference.c.classifier == classifier, asked_by_clients(), sa.or_(mine, instead))
    return sa.select(*columns).where(asked, within, _behind(after))


def _spans(
    connection: Connection, classifier: str, version: str, after: Key | None, until: datetime | None
) -> list[Span]:
    """First and last moment of each tenure; of one that lasts since before `after`, from that moment on.

    Told from the log itself, so that any clock fits: a tenure ends where another champion answered at least LEAST_ROWS in a row.
    Shorter runs are workers that changed over some moments apart.
    """
    known = sa.true() if until is None else inference.c.occurred_at <= until
    mine = (
        _champion_rows(classifier)
        .where(inference.c.version == version, known, _behind(after))
        .subquery()
    )
    moment, since = mine.c.occurred_at, after[0] if after else None
    first = connection.scalar(sa.select(sa.func.min(moment)))
    if first is None:
        return []
    ends = _interruptions(
        connection,
        classifier,
        version,
        _behind(after) if after else inference.c.occurred_at >= first,
    )
    spans = []
    for start, end in pairwise([None, *ends, None]):
        later, before = (
            sa.true() if start is None else moment >= start,
            sa.true() if end is None else moment < end,
        )
        own = connection.execute(
            sa.select(sa.func.min(moment), sa.func.max(moment)).where(later, before)
        ).one()
        spans.append((since if start is None and since and own[0] else own[0], own[1]))
    return [span for span in spans if span[0] is not None]


def _champion_rows(classifier: str) -> sa.Select:
    columns = (inference.c.occurred_at, inference.c.request_id)
    return sa.select(*columns).where(
        inference.c.classifier == classifier, inference.c.role == "champion", asked_by_clients()
    )


def _interruptions(
    connection: Connection, classifier: str, version: str, since: sa.ColumnElement[bool]
) -> list[datetime]:
    """Starts of the runs of at least LEAST_ROWS champion rows of other versions (gaps and islands), oldest first."""
    order = (inference.c.occurred_at, inference.c.request_id)
    island = sa.func.row_number().over(order_by=order) - sa.func.row_number().over(
        partition_by=inference.c.version, order_by=order
    )
    rows = (
        _champion_rows(classifier)
        .where(since)
        .add_columns(inference.c.version, island.label("island"))
        .subquery()
    )
    start = sa.func.min(rows.c.occurred_at)
    runs = sa.select(start).where(rows.c.version != version).group_by(rows.c.version, rows.c.island)
    return list(connection.scalars(runs.having(sa.func.count() >= LEAST_ROWS).order_by(start)))
