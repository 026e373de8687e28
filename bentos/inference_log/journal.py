"""The inference journal: each answer is in a local file before the response.

A shipper moves the rows to PostgreSQL. Rows that are written together share a line of at most 64,
`<crc32, 8 hex digits> <JSON>,<JSON>,...\\n`; the shipper reads a line without decoding its rows. A
segment is a file of lines. Its writer locks it as long as it writes, so that any process can
distinguish a live segment from an abandoned one.

Rows that wait at the same time share one fdatasync, and then survive a power cut. Without `sync`,
they survive only the process.

The journal has a maximum size. When it is full because the database is away, new rows are dropped
and counted. A row that was written is never removed before it is shipped.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import threading
import time
import zlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import msgspec

from core.files import create_locked
from core.logs import get_logger

SEGMENT_BYTES = 8 * 2**20
WEIGH_SECONDS = 1.0
QUICK_SECONDS = 1e-3  # a sync that takes less is not worth a change of threads
GATHER_SECONDS = 1e-3  # the longest that a group waits for more requests
LINE_ROWS = 64  # the most that a damaged line costs
ROW_MARK = b'"request_id":'  # once in every row and nowhere else: quotes inside a value are escaped
SUFFIX = ".jsonl"


@dataclass
class JournalCounts:
    """Rows since the start of this process; `left_over` ones were left by earlier processes."""

    left_over: int = 0
    written: int = 0
    shipped: int = 0
    corrupt: int = 0
    refused: int = 0
    dropped: int = 0

    @property
    def waiting(self) -> int:
        return max(0, self.left_over + self.written - self.shipped - self.corrupt - self.refused)


def encode_rows(rows: Sequence[bytes]) -> bytes:
    """Return lines of a segment from JSON objects."""
    parts = (b",".join(rows[start : start + LINE_ROWS]) for start in range(0, len(rows), LINE_ROWS))
    return b"".join([b"%08x %b\n" % (zlib.crc32(part), part) for part in parts])


def decode_line(line: bytes) -> bytes | None:
    """Return the comma-separated JSON objects of a line, or None when it is torn or altered."""
    payload = line[9:-1] if line.endswith(b"\n") else line[9:]
    return payload if line[:9] == b"%08x " % zlib.crc32(payload) else None


_decode_raw = msgspec.json.Decoder(list[msgspec.Raw]).decode


def split_rows(payload: bytes) -> list[bytes]:
    """Return the JSON objects of a line one by one. Text that is not JSON stays whole."""
    try:
        return [bytes(row) for row in _decode_raw(b"[%b]" % payload)]
    except msgspec.DecodeError:
        return [payload]


def count_rows(line: bytes) -> int:
    """Return the number of rows of a line, at least 1; of a damaged line, an estimate."""
    return max(1, line.count(ROW_MARK))


class Journal:
    """Append-only. Raises OSError at start when the folder cannot be written.

    Parameters
    ----------
    maximum : bytes that all segments together may hold.
    sync : reach the disk before `log` returns; all waiting requests share the sync. A thread does
        it, unless the disk takes less than a millisecond (0.2 in docs/benchmarks.md).
        Then the event loop does it, which costs a third of the CPU of changing threads.
    """

    def __init__(
        self,
        folder: Path,
        *,
        counts: JournalCounts,
        maximum: int = 2**30,
        sync: bool = False,
        segment_bytes: int = SEGMENT_BYTES,
    ) -> None:
        self._folder = folder
        self._counts = counts
        self._maximum = maximum
        self._sync = sync
        self._segment_bytes = segment_bytes

        self._lock = threading.Lock()
        self._closed = False
        self._rows: list[bytes] = []
        self._waiters: list[asyncio.Future[None]] = []
        self._committing: asyncio.Task[None] | None = None
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="journal")
        self._sync_seconds = 2 * QUICK_SECONDS  # a moving average

        folder.mkdir(parents=True, exist_ok=True)
        self._older_bytes = _bytes_in(folder)
        self._weighed_at = time.monotonic()
        self._file = open_segment(folder)
        self._size = 0

    async def log(self, rows: Sequence[bytes]) -> None:
        """Return when the rows, JSON objects, are written. Waiting requests share one sync."""
        loop = asyncio.get_running_loop()
        written = loop.create_future()
        self._waiters.append(written)
        self._rows.extend(rows)
        if self._committing is None:
            self._committing = loop.create_task(self._commit(loop))
        await written

    async def _commit(self, loop: asyncio.AbstractEventLoop) -> None:
        """Write group after group; the next gathers meanwhile. An error releases all waiters."""
        waiters: list[asyncio.Future[None]] = []
        try:
            while self._waiters:
                await self._gather()
                rows = self._rows
                self._rows = []
                waiters = self._waiters
                self._waiters = []
                await self._append_group(loop, rows)
                _release(waiters)
        finally:
            _release([*waiters, *self._waiters])
            self._waiters.clear()
            self._committing = None

    async def _gather(self) -> None:
        """Let requests that the event loop is about to read join the group, while more arrive.

        A lone request waits for two turns of the loop, microseconds. Under load, most requests
        share a sync (docs/decisions/0012).
        """
        known = 0
        until = time.perf_counter() + GATHER_SECONDS
        while len(self._waiters) > known and time.perf_counter() < until:
            known = len(self._waiters)
            await asyncio.sleep(0)  # reads the sockets
            await asyncio.sleep(0)  # lets the requests come here

    async def _append_group(self, loop: asyncio.AbstractEventLoop, rows: Sequence[bytes]) -> None:
        if self._sync and self._sync_seconds > QUICK_SECONDS and not self._closed:
            await loop.run_in_executor(self._writer, self.append, rows)
        else:
            self.append(rows)

    def append(self, rows: Sequence[bytes]) -> None:
        """Write the rows before returning.

        A full or broken disk, or a full journal, costs the rows, counted, but never the answer.
        """
        if not rows:
            return
        data = encode_rows(rows)
        with self._lock:
            try:
                written = self._write(data)
            except OSError as error:
                written = b""
                get_logger().error("journal", state="row lost", error=str(error))
            kept = len(rows) if len(written) == len(data) else written.count(ROW_MARK)
            self._counts.written += kept
            self._counts.dropped += len(rows) - kept

    def close(self) -> None:
        """Write the rows still waiting, and release the segment; the shipper may then remove it."""
        rows = self._rows
        self._rows = []
        self.append(rows)
        with self._lock:
            if not self._closed:
                self._closed = True
                os.close(self._file)
        self._writer.shutdown()

    def _write(self, data: bytes) -> bytes:
        """Return the whole lines that are now in the segment, and will be shipped in any case."""
        if self._closed:
            raise OSError("the journal is closed")
        if self._size >= self._segment_bytes:
            self._rotate()
        if self._is_full(len(data)):
            raise OSError(f"the journal holds its {self._maximum} bytes; is the database away?")

        written = data[: os.write(self._file, data)]
        whole = written[: written.rfind(b"\n") + 1]
        self._size += len(whole)

        try:
            if len(whole) < len(data):
                get_logger().error("journal", state="the disk is full")
                os.ftruncate(self._file, self._size)  # the shipper does not take a torn line
            if self._sync:
                self._sync_now()
        except OSError as error:
            # The next rows go to a new segment: later syncs of this one prove nothing.
            self._size = self._segment_bytes
            get_logger().error("journal", state="rows not safe from a power cut", error=str(error))
        return whole

    def _sync_now(self) -> None:
        started = time.perf_counter()
        os.fdatasync(self._file)
        self._sync_seconds += 0.1 * (time.perf_counter() - started - self._sync_seconds)

    def _is_full(self, more: int) -> bool:
        """Return whether `more` bytes exceed the maximum.

        The shipper removes segments meanwhile, so they are weighed again before rows are dropped,
        at most once per second.
        """
        if self._older_bytes + self._size + more <= self._maximum:
            return False
        if time.monotonic() - self._weighed_at >= WEIGH_SECONDS:
            self._older_bytes = _bytes_in(self._folder) - self._size
            self._weighed_at = time.monotonic()
        return self._older_bytes + self._size + more > self._maximum

    def _rotate(self) -> None:
        full = self._file
        self._file = open_segment(self._folder)
        self._size = 0
        os.close(full)
        self._older_bytes = _bytes_in(self._folder)


def _release(waiters: Sequence[asyncio.Future[None]]) -> None:
    for written in waiters:
        if not written.done():
            written.set_result(None)


def _bytes_in(folder: Path) -> int:
    """Return the bytes of all segments; one that is removed meanwhile counts as 0."""
    total = 0
    for segment in segments(folder):
        with suppress(FileNotFoundError):
            total += segment.stat().st_size
    return total


def open_segment(folder: Path) -> int:
    """Create and lock a segment; return its descriptor. Raises OSError."""
    return create_locked(folder / f"{time.time_ns():020d}-{os.getpid()}{SUFFIX}")


def segments(folder: Path) -> list[Path]:
    """Return the segments of a folder, oldest first."""
    return sorted(folder.glob(f"*{SUFFIX}"))


def is_abandoned(segment: Path) -> bool:
    """Return whether no process writes to the segment any more."""
    with segment.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        return True
