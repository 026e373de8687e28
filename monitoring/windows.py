"""What the champion was asked, cut into windows by count: in order, without overlap, never across a change of champion."""

from __future__ import annotations

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


@dataclass(frozen=True)
class Window:
    """A window of the log: `number` from 1, `first` (from 0) among the traffic of its version, `rows`."""

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
    connection: Connection, *, classifier: str, version: str, reported: Sequence[int], size: int, until: datetime | None = None
) -> list[Window]:
    """Return every complete window of the version's log up to `until`.

    First the reported ones (their rows, by number), then those of `size` rows.
    """
    found = tenures(connection, classifier=classifier, version=version, until=until)
    return cut_windows(found, reported=reported, size=size)


def cut_windows(tenures: Sequence[int], *, reported: Sequence[int], size: int) -> list[Window]:
    """Cut runs of rows into windows. Pure.

    Parameters
    ----------
    tenures : rows of traffic while the version was champion, one number for each uninterrupted tenure
    reported : rows of the windows reported so far; they are walked again, so that `size` may change between calls
    size : rows of a new window

    A window never spans two tenures: what a tenure leaves over is dropped.
    """
    windows: list[Window] = []
    start = 0
    for rows in tenures:
        first, end = start, start + rows
        while first + (wanted := reported[len(windows)] if len(windows) < len(reported) else size) <= end:
            windows.append(Window(len(windows) + 1, first, wanted))
            first += wanted
        start = end
    return windows


def tenures(connection: Connection, *, classifier: str, version: str, until: datetime | None = None) -> list[int]:
    """Rows of traffic while the version was champion, by tenure."""
    spans = _spans(connection, classifier, version, until)
    counts = (sa.select(sa.func.count()).select_from(_traffic(classifier, version, [span]).subquery()) for span in spans)
    return [connection.scalar(count) or 0 for count in counts]


def read_log(connection: Connection, *, classifier: str, version: str, first: int = 0, rows: int | None = None) -> pd.DataFrame:
    """Return the traffic while a version was champion, in order of (occurred_at, request_id): LOG_COLUMNS, from `first` on.

    What a canary answered is in it, without label and probability: the champion has said nothing of these phrases.
    """
    spans = _spans(connection, classifier, version, None)
    ordered = _traffic(classifier, version, spans).order_by(inference.c.occurred_at, inference.c.request_id)
    found = connection.execute(ordered.offset(first).limit(rows)).all()
    return pd.DataFrame.from_records([tuple(row) for row in found], columns=list(LOG_COLUMNS))


def _traffic(classifier: str, version: str, spans: Sequence[Span]) -> sa.Select:
    """What clients asked while the version was champion: what it answered, and what a canary answered instead of it."""
    mine, instead = sa.and_(inference.c.role == "champion", inference.c.version == version), inference.c.role == "canary"
    columns = [sa.case((mine, inference.c[name])) if name in SAID else inference.c[name] for name in LOG_COLUMNS]
    within = sa.or_(sa.false(), *(inference.c.occurred_at.between(*span) for span in spans))
    return sa.select(*columns).where(inference.c.classifier == classifier, asked_by_clients(), sa.or_(mine, instead), within)


def _spans(connection: Connection, classifier: str, version: str, until: datetime | None) -> list[Span]:
    """First and last moment of each tenure.

    Told from the log itself, so that any clock fits: a tenure ends where another champion answered at least LEAST_ROWS in a row.
    Shorter runs are workers that changed over some moments apart.
    """
    known = sa.true() if until is None else inference.c.occurred_at <= until
    mine = _champion_rows(classifier).where(inference.c.version == version, known).subquery()
    moment, ends = mine.c.occurred_at, _interruptions(connection, classifier, version)
    spans = []
    for start, end in pairwise([None, *ends, None]):
        after, before = sa.true() if start is None else moment >= start, sa.true() if end is None else moment < end
        spans.append(tuple(connection.execute(sa.select(sa.func.min(moment), sa.func.max(moment)).where(after, before)).one()))
    return [span for span in spans if span[0] is not None]


def _champion_rows(classifier: str) -> sa.Select:
    columns = (inference.c.occurred_at, inference.c.request_id)
    return sa.select(*columns).where(inference.c.classifier == classifier, inference.c.role == "champion", asked_by_clients())


def _interruptions(connection: Connection, classifier: str, version: str) -> list[datetime]:
    """Starts of the runs of at least LEAST_ROWS champion rows of other versions (gaps and islands), oldest first."""
    order = (inference.c.occurred_at, inference.c.request_id)
    island = sa.func.row_number().over(order_by=order) - sa.func.row_number().over(partition_by=inference.c.version, order_by=order)
    rows = _champion_rows(classifier).add_columns(inference.c.version, island.label("island")).subquery()
    start = sa.func.min(rows.c.occurred_at)
    runs = sa.select(start).where(rows.c.version != version).group_by(rows.c.version, rows.c.island)
    return list(connection.scalars(runs.having(sa.func.count() >= LEAST_ROWS).order_by(start)))
