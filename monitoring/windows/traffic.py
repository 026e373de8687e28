"""Reads the traffic of a classifier from the log, in order of arrival.

Traffic is what clients asked and the champion or a canary answered, whoever was champion. Rows of
load tests, shadows and requests for a named version do not count.

A read is bounded, however long the log is: finding a window costs at most CLOSE_READ keys and some
hundred look-ups by index, reading it as many look-ups and at most `rows` rows.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from core.tables.loop import asked_by_clients, inference
from core.tables.pins import was_refused
from monitoring.windows.cutting import DAY, EDGE, LEAST_DAYS, Limits, Window, end_of_window, evenly

CLOSE_READ = 20_000
WINDOWS_AT_ONCE = 24
"""Windows that one watch judges; after an outage the next watch goes on with the rest."""
ANSWER_COLUMNS = ("label", "probability")
LOG_COLUMNS = ("occurred_at", "request_id", "region", "phrase", "cleaned", *ANSWER_COLUMNS)
BISECTIONS = 12  # the day of a busy window ends within a four-thousandth of the stretch


@dataclass(frozen=True)
class Traffic:
    """The traffic of one classifier. Rows that `version` did not answer lack label and score."""

    connection: Connection
    classifier: str
    version: str

    def windows(
        self, *, after: int, until: int, limits: Limits, reported: int = 0
    ) -> Iterator[Window]:
        """Yield at most WINDOWS_AT_ONCE complete windows with `after` < sequence <= `until`."""
        for number in range(reported + 1, reported + 1 + WINDOWS_AT_ONCE):
            window = self._next_window(after, until, limits, number)
            if window is None:
                return
            yield window
            after = window.last

    def read_window(self, window: Window) -> pd.DataFrame:
        """Return what the log still holds of a window, in order of arrival, as LOG_COLUMNS."""
        within = inference.c.sequence.between(window.first, window.last)
        if not window.sampled:
            return self._frame(self._rows().where(within).order_by(inference.c.sequence))
        sample = self._sampled_sequences(window)
        if not len(sample):
            return pd.DataFrame(columns=list(LOG_COLUMNS))
        among = inference.c.sequence == sa.any_(sa.literal(sample, sa.ARRAY(sa.BigInteger)))
        return self._frame(self._rows().where(within, among).order_by(inference.c.sequence))

    def refused_share(self, window: Window) -> float | None:
        """Return which share of a window's answers said "none of these", of CLOSE_READ at most.

        None where no row says whether it did.
        """
        rows = (
            self._select(inference.c.abstained, was_refused().label("refused"))
            .where(inference.c.sequence.between(window.first, window.last))
            .order_by(inference.c.sequence)
            .limit(CLOSE_READ)
            .subquery()
        )
        known = sa.func.count().filter(rows.c.abstained.is_not(None))
        refused = sa.func.count().filter(rows.c.refused)
        counted = self.connection.execute(sa.select(known, refused).select_from(rows)).one()
        return counted[1] / counted[0] if counted[0] else None

    def _next_window(self, after: int, until: int, limits: Limits, number: int) -> Window | None:
        sequence, occurred_at = self._keys(after, until)
        rows = end_of_window(occurred_at, limits)
        if rows is not None:
            last = int(sequence[rows - 1])
            return Window(number, int(sequence[0]), last, rows, min(rows, limits.rows))
        if len(sequence) < CLOSE_READ:
            return None
        start = float(np.median(_days(occurred_at[:EDGE])))
        end = self._a_day_later(start, int(sequence[0]), int(sequence[-1]), until)
        return None if end is None else Window(number, int(sequence[0]), end, None, limits.rows)

    def _keys(self, after: int, until: int) -> tuple[np.ndarray, np.ndarray]:
        """Return sequence and occurred_at of the first CLOSE_READ rows."""
        query = (
            self._select(inference.c.sequence, inference.c.occurred_at)
            .where(inference.c.sequence > after, inference.c.sequence <= until)
            .order_by(inference.c.sequence)
            .limit(CLOSE_READ)
        )
        rows = self.connection.execute(query).all()
        sequence = np.array([row.sequence for row in rows], dtype=np.int64)
        return sequence, _moments([row.occurred_at for row in rows])

    def _a_day_later(self, start: float, first: int, low: int, until: int) -> int | None:
        """Return the sequence at which a day has passed since `start`; None when it has not."""
        step = max(low - first, 1)
        high = low
        while self._time_at(high) - start < LEAST_DAYS:
            if high >= until:
                return None
            low = high
            high = min(high + step, until)
            step *= 2
        for _ in range(BISECTIONS):
            middle = (low + high) // 2
            if self._time_at(middle) - start < LEAST_DAYS:
                low = middle
            else:
                high = middle
        return high

    def _time_at(self, sequence: int) -> float:
        """Return the time, in days, that the newest EDGE rows up to a sequence number tell."""
        newest = (
            self._select(inference.c.occurred_at)
            .where(inference.c.sequence <= sequence)
            .order_by(inference.c.sequence.desc())
            .limit(EDGE)
        )
        return float(np.median(_days(_moments(list(self.connection.scalars(newest))))))

    def _sampled_sequences(self, window: Window) -> list[int]:
        """Return the sequence numbers of `rows` rows, evenly spread: equal windows, equal rows.

        Several points meet in one row where other classifiers' rows lie between. So more points are
        tried than rows are wanted, and as many when the window is read again.
        """
        if window.answers is not None:
            sequence, _ = self._keys(window.first - 1, window.last)
        else:
            sequence = self._spread_sequences(window, points=max(CLOSE_READ, window.rows))
        return list(map(int, sequence[evenly(window.rows, of=len(sequence))]))

    def _spread_sequences(self, window: Window, *, points: int) -> np.ndarray:
        """Return the distinct rows that are next to `points` evenly spread sequence numbers."""
        tried = np.linspace(window.first, window.last, points, endpoint=False).astype(int)
        point = (
            sa.func.unnest(sa.literal(list(map(int, tried)), sa.ARRAY(sa.BigInteger)))
            .table_valued("point", name="points")
            .render_derived()
        )
        nearest = (
            self._select(inference.c.sequence)
            .where(inference.c.sequence >= point.c.point, inference.c.sequence <= window.last)
            .order_by(inference.c.sequence)
            .limit(1)
            .lateral()
        )
        sequences = sa.select(nearest.c.sequence).select_from(point.join(nearest, sa.true()))
        return np.unique(np.array(self.connection.scalars(sequences).all(), dtype=np.int64))

    def _rows(self) -> sa.Select[Any]:
        answered = inference.c.version == self.version
        columns = [
            sa.case((answered, inference.c[name])).label(name)
            if name in ANSWER_COLUMNS
            else inference.c[name]
            for name in LOG_COLUMNS
        ]
        return self._select(*columns)

    def _select(self, *columns: Any) -> sa.Select[Any]:
        return sa.select(*columns).where(
            inference.c.classifier == self.classifier,
            inference.c.role.in_(("champion", "canary")),
            asked_by_clients(),
        )

    def _frame(self, query: sa.Select[Any]) -> pd.DataFrame:
        rows = [tuple(row) for row in self.connection.execute(query)]
        frame = pd.DataFrame.from_records(rows, columns=list(LOG_COLUMNS))
        # In UTC, as reference rows are: the database answers in a zone of its own, and moments of
        # columns of two zones, joined, are no longer a column of moments.
        return frame.assign(occurred_at=pd.to_datetime(frame["occurred_at"], utc=True))


def _moments(values: list[Any]) -> np.ndarray:
    return np.array(
        pd.to_datetime(pd.Series(values, dtype="datetime64[ns, UTC]")).dt.tz_localize(None)
    )


def _days(moments: np.ndarray) -> np.ndarray:
    return moments.astype("datetime64[ns]").astype("int64").astype(float) / DAY
