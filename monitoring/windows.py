"""Cuts the traffic of a champion into windows of a fixed number of rows.

The windows are in order and without overlap, and none spans a change of champion.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.compute as pc
import pyarrow.parquet as pq
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from core.params import DriftParams
from core.tables import asked_by_clients, inference

POOL_WINDOWS = 6  # a pool of less history makes smaller windows (docs/drift-rule.md)
LEAST_ROWS = 100
ANSWER_COLUMNS = ("label", "probability")
LOG_COLUMNS = ("occurred_at", "request_id", "region", "phrase", "cleaned", *ANSWER_COLUMNS)

Span = tuple[datetime, datetime]
Key = tuple[datetime, str | None]
"""Identifies a row of traffic: its moment and request id. Without the id, the moment's last row."""


@dataclass(frozen=True)
class Window:
    """A window of the log.

    `number` counts from 1; `first` is its first row, from 0, among the traffic not reported yet.
    """

    number: int
    first: int
    rows: int


def effective_window(reference: Path, drift: DriftParams) -> int:
    """Return the number of rows of one window.

    That is `window_rows`, or a sixth of the rows that the reference stands for, at least 100.
    """
    return window_size(pool_rows(reference), window_rows=drift.window_rows)


def pool_rows(reference: Path) -> float:
    """Return the sum of the weights in reference.parquet, 0 when there is no such file."""
    if not reference.is_file():
        return 0.0
    weights = pq.read_table(reference, columns=["weight"])["weight"]
    return float(pc.sum(weights).as_py() or 0)


def window_size(rows: float, *, window_rows: int) -> int:
    """Return the rows of one window, from the number of rows that the reference stands for."""
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

    They begin after the row `after`, the last one of the newest reported window, whatever the log
    still holds of the reported windows. Old months may have been dropped, and rows from before
    `after` that arrive late shift no window.
    """
    rows = tenures(connection, classifier=classifier, version=version, after=after, until=until)
    return cut_windows(rows, reported=reported, size=size)


def cut_windows(tenures: Sequence[int], *, size: int, reported: int = 0) -> list[Window]:
    """Cut runs of rows into windows. Pure.

    Parameters
    ----------
    tenures : rows of traffic while the version was champion, one number per uninterrupted tenure
    reported : number of the newest window reported so far
    size : rows of a window

    A window never spans two tenures: the remaining rows of a tenure are dropped.
    """
    starts = itertools.accumulate(tenures, initial=0)
    firsts = [
        start + position * size
        for start, rows in zip(starts, tenures, strict=False)
        for position in range(rows // size)
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
    """Return the number of rows after `after` in each tenure of the version."""
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
    """Return the traffic while a version was champion, after the row `after`, as LOG_COLUMNS.

    Ordered by (occurred_at, request_id). Rows that a canary answered are included with null label
    and probability: the champion did not answer them
    (docs/decisions/0010-canary-and-windows.md).
    """
    spans = _spans(connection, classifier, version, after, None)
    ordered = _traffic(classifier, version, spans, after).order_by(
        inference.c.occurred_at, inference.c.request_id
    )
    return _frame(connection, ordered.limit(rows))


def read_window(
    connection: Connection, *, classifier: str, version: str, start: datetime, last: Key, rows: int
) -> pd.DataFrame:
    """Return what the log still holds of a reported window, in order, as LOG_COLUMNS.

    These are the newest `rows` rows from `start` to the row `last`.
    """
    newest_first = (inference.c.occurred_at.desc(), inference.c.request_id.desc())
    up_to_last = _traffic(classifier, version, [(start, last[0])]).where(sa.not_(_is_after(last)))
    newest = _frame(connection, up_to_last.order_by(*newest_first).limit(rows))
    return newest.iloc[::-1].reset_index(drop=True)


def _frame(connection: Connection, query: sa.Select[Any]) -> pd.DataFrame:
    rows = [tuple(row) for row in connection.execute(query)]
    return pd.DataFrame.from_records(rows, columns=list(LOG_COLUMNS))


def _is_after(key: Key | None) -> sa.ColumnElement[bool]:
    """Select the rows of `inference` after the key, in order of (occurred_at, request_id)."""
    if key is None:
        return sa.true()
    moment, request_id = key
    occurred_at = inference.c.occurred_at
    if request_id is None:
        return occurred_at > moment
    later = sa.or_(occurred_at > moment, inference.c.request_id > request_id)
    return sa.and_(occurred_at >= moment, later)  # PostgreSQL uses the index for the first part


def _traffic(
    classifier: str, version: str, spans: Sequence[Span], after: Key | None = None
) -> sa.Select[Any]:
    """Select the clients' requests in the spans: answered by the champion, or by a canary."""
    by_champion = sa.and_(inference.c.role == "champion", inference.c.version == version)
    by_canary = inference.c.role == "canary"
    columns = [
        sa.case((by_champion, inference.c[name])) if name in ANSWER_COLUMNS else inference.c[name]
        for name in LOG_COLUMNS
    ]
    within = sa.or_(sa.false(), *(inference.c.occurred_at.between(*span) for span in spans))
    return sa.select(*columns).where(
        inference.c.classifier == classifier,
        asked_by_clients(),
        sa.or_(by_champion, by_canary),
        within,
        _is_after(after),
    )


def _spans(
    connection: Connection, classifier: str, version: str, after: Key | None, until: datetime | None
) -> list[Span]:
    """Return the first and last moment of each tenure after `after`.

    A tenure that began before `after` starts at that moment. Tenures are derived from the log
    itself, so that they need no clock: a tenure ends where another champion answered at least
    LEAST_ROWS in a row. Shorter runs come from workers that switched versions moments apart.
    """
    in_time = sa.true() if until is None else inference.c.occurred_at <= until
    answers = _champion_rows(classifier).where(
        inference.c.version == version, in_time, _is_after(after)
    )
    moment = answers.subquery().c.occurred_at
    first = connection.scalar(sa.select(sa.func.min(moment)))
    if first is None:
        return []

    since = _is_after(after) if after else inference.c.occurred_at >= first
    ends = _interruptions(connection, classifier, version, since)
    spans = []
    for start, end in pairwise([None, *ends, None]):
        span = _extent(connection, moment, start, end)
        if span is None:
            continue
        if start is None and after is not None:
            span = (after[0], span[1])
        spans.append(span)
    return spans


def _extent(
    connection: Connection,
    moment: sa.ColumnElement[datetime],
    start: datetime | None,
    end: datetime | None,
) -> Span | None:
    """Return the first and last moment in [start, end), None when there is no row."""
    not_before = sa.true() if start is None else moment >= start
    before_end = sa.true() if end is None else moment < end
    extent = sa.select(sa.func.min(moment), sa.func.max(moment)).where(not_before, before_end)
    first, last = connection.execute(extent).one()
    return None if first is None else (first, last)


def _champion_rows(classifier: str) -> sa.Select[Any]:
    columns = (inference.c.occurred_at, inference.c.request_id)
    return sa.select(*columns).where(
        inference.c.classifier == classifier, inference.c.role == "champion", asked_by_clients()
    )


def _interruptions(
    connection: Connection, classifier: str, version: str, since: sa.ColumnElement[bool]
) -> list[datetime]:
    """Return the starts of the runs of at least LEAST_ROWS answers by other champions, in order."""
    # Gaps and islands: within an uninterrupted run of a version the two row numbers keep their
    # distance.
    order = (inference.c.occurred_at, inference.c.request_id)
    overall = sa.func.row_number().over(order_by=order)
    within_version = sa.func.row_number().over(partition_by=inference.c.version, order_by=order)
    island = overall - within_version
    rows = (
        _champion_rows(classifier)
        .where(since)
        .add_columns(inference.c.version, island.label("island"))
        .subquery()
    )
    start = sa.func.min(rows.c.occurred_at)
    runs = sa.select(start).where(rows.c.version != version).group_by(rows.c.version, rows.c.island)
    return list(connection.scalars(runs.having(sa.func.count() >= LEAST_ROWS).order_by(start)))
