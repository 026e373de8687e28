"""Feedback received over HTTP: journaled like answers, checked when it is shipped.

A label may name an answer that is still in a journal, of this process or of another. Its row then
waits in a journal of its own and is tried again, for a day.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Engine

from bentos.inference_log.journal import Journal, JournalCounts
from bentos.inference_log.shipper import RefusedRow, RowRefused, Shipper
from core.errors import UnknownRequest
from core.feedback import FeedbackRow, Labels, Problem, insert_feedback, separate_feedback
from core.logs import first_line

FOLDER = "feedback"  # beside the segments of answers
WAITING = "waiting"
WAITING_FULL = "its answer is not logged, and too much other feedback waits as well"
JOURNAL_BYTES = 64 * 2**20  # 200,000 labels while the database is away
RETRY_SECONDS = 10.0
WAIT = timedelta(days=1)


@dataclass(frozen=True)
class JournaledFeedback(FeedbackRow):
    """A row of the journal. `waits_since`: when its answer was missing first."""

    waits_since: datetime | None = None


_decode = msgspec.json.Decoder(list[JournaledFeedback]).decode


@dataclass
class FeedbackCounts:
    """Rows since the start of this process: as they came, as they wait for answers, stored."""

    received: JournalCounts = field(default_factory=JournalCounts)
    retried: JournalCounts = field(default_factory=JournalCounts)
    stored: int = 0

    @property
    def refused(self) -> int:
        return self.received.refused + self.retried.refused

    @property
    def waiting(self) -> int:
        return self.received.waiting + self.retried.waiting


class FeedbackLog:
    """The journal of feedback. For one event loop."""

    def __init__(self, folder: Path, *, counts: FeedbackCounts, sync: bool = False) -> None:
        self.counts = counts
        self._journal = Journal(folder, counts=counts.received, maximum=JOURNAL_BYTES, sync=sync)

    async def log(self, row: JournaledFeedback) -> bool:
        """Return when the row is written; False when it may be lost: the disk or the journal is
        full.
        """
        dropped = self.counts.received.dropped
        await self._journal.log([msgspec.json.encode(row)])
        return self.counts.received.dropped == dropped

    def close(self) -> None:
        self._journal.close()


class FeedbackShipper:
    """Moves a journal of feedback to the `feedback` table; of several processes, only one does.

    A row that is shipped again is known by its request id, label, author and moment. With `sync`,
    rows that wait survive a power cut.
    """

    def __init__(
        self,
        folder: Path,
        *,
        engine: Engine,
        labels: Callable[[], Labels],
        counts: FeedbackCounts,
        sync: bool = False,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._engine = engine
        self._labels = labels
        self._counts = counts
        self._now = now
        self._received = Shipper(folder, insert=self._insert, counts=counts.received)
        waiting = folder / WAITING
        self._waiting = Journal(waiting, counts=counts.retried, maximum=JOURNAL_BYTES, sync=sync)
        self._retried = Shipper(waiting, insert=self._insert, counts=counts.retried)
        self._retried_at = float("-inf")

    def ship(self) -> None:
        """Store what came, and every RETRY_SECONDS what waits. Call it after answers are shipped.

        Raises SQLAlchemy's errors in an outage; nothing is lost.
        """
        self._received.ship()
        if time.monotonic() - self._retried_at >= RETRY_SECONDS:
            self._retried.ship()
            self._retried_at = time.monotonic()

    def _insert(self, parts: Sequence[bytes]) -> list[RefusedRow]:
        try:
            rows = _decode(b"[%b]" % b",".join(parts))
            with self._engine.begin() as connection:
                separated = separate_feedback(connection, rows, labels=self._labels())
                waiting, refused = self._separate_waiting(separated.problems)
                insert_feedback(connection, separated.accepted)
                # Before the commit: a row that is kept twice is known later.
                refused += self._keep(waiting)
        except (msgspec.DecodeError, sa.exc.DataError, sa.exc.IntegrityError) as error:
            raise RowRefused(first_line(error)) from None
        self._counts.stored += len(separated.accepted)
        return refused

    def _separate_waiting(
        self, problems: Sequence[Problem]
    ) -> tuple[list[bytes], list[RefusedRow]]:
        """Return the rows to try again, and those that can never be stored."""
        waiting = []
        refused = []
        for row, error in problems:
            assert isinstance(row, JournaledFeedback)
            since = row.waits_since or self._now()
            if isinstance(error, UnknownRequest) and self._now() - since <= WAIT:
                waiting.append(msgspec.json.encode(replace(row, waits_since=since)))
            else:
                refused.append(RefusedRow(msgspec.json.encode(row), str(error)))
        return waiting, refused

    def _keep(self, rows: Sequence[bytes]) -> list[RefusedRow]:
        """Write rows to the journal of waiting ones; return those that it does not take."""
        dropped = self._counts.retried.dropped
        self._waiting.append(rows)
        lost = self._counts.retried.dropped - dropped
        return [RefusedRow(row, WAITING_FULL) for row in rows[len(rows) - lost :]]
