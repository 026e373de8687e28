"""The inference journal: every answer is in a local file before it leaves; a shipper moves the rows to PostgreSQL.

Rows that are written together share a line, `<crc32, 8 hex digits> <JSON>,<JSON>,...\\n`, 64 of them at most: the shipper reads a line
without looking at its rows. A segment is a file of lines, locked by its writer as long as it writes, so that any process can tell a
live segment from one left behind. What waits for one fdatasync shares it, so that rows survive the machine too; without `sync` they
are the kernel's after the write and survive the process only.

The journal has a size. When the database is away for so long that it is full, new rows are dropped and counted: a row that
was written is never taken back.
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
QUICK_SECONDS = 1e-3  # a sync that takes less is not worth a thread's turn
COMPANY_SECONDS = 1e-3  # how long a group waits at most for more requests
LINE_ROWS = 64  # a damaged line costs no more rows
ROW_MARK = b'"request_id":'  # once in every row and nowhere else: quotes inside a value are escaped
SUFFIX = ".jsonl"


@dataclass
class JournalCounts:
    """Rows since the start of this process; `found` were left by earlier ones."""

    found: int = 0
    written: int = 0
    shipped: int = 0
    corrupt: int = 0
    refused: int = 0
    dropped: int = 0

    @property
    def waiting(self) -> int:
        return max(0, self.found + self.written - self.shipped - self.corrupt - self.refused)


def encode_rows(rows: Sequence[bytes]) -> bytes:
    """Lines of a segment from JSON objects."""
    parts = (b",".join(rows[start : start + LINE_ROWS]) for start in range(0, len(rows), LINE_ROWS))
    return b"".join([b"%08x %b\n" % (zlib.crc32(part), part) for part in parts])


def decode_line(line: bytes) -> bytes | None:
    """Return the JSON objects of a line, comma between them, or None when it is torn or altered."""
    payload = line[9:-1] if line.endswith(b"\n") else line[9:]
    return payload if line[:9] == b"%08x " % zlib.crc32(payload) else None


_decode_raw = msgspec.json.Decoder(list[msgspec.Raw]).decode


def split_rows(payload: bytes) -> list[bytes]:
    """The JSON objects of a line, each for itself; what is no JSON stays whole."""
    try:
        return [bytes(row) for row in _decode_raw(b"[%b]" % payload)]
    except msgspec.DecodeError:
        return [payload]


def count_rows(line: bytes) -> int:
    """Rows of a line, one at least; of a damaged line, about."""
    return max(1, line.count(ROW_MARK))


class Journal:
    """Append-only. Raises OSError at start when the folder cannot be written.

    Parameters
    ----------
    maximum : bytes that the segments may hold together, waiting rows and the live segment.
    sync : reach the disk before `log` returns; shared by all that wait. On a thread, unless the disk takes less than a millisecond
        (0.2 on the machine of docs/benchmarks.md): then the event loop does it, at a third of the CPU of changing threads.
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
        self._folder, self._counts, self._maximum, self._sync, self._segment_bytes = (
            folder,
            counts,
            maximum,
            sync,
            segment_bytes,
        )
        self._lock, self._closed = threading.Lock(), False
        self._rows: list[bytes] = []
        self._waiters: list[asyncio.Future[None]] = []
        self._committing: asyncio.Task[None] | None = None
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="journal")
        self._pace = 2 * QUICK_SECONDS  # of a sync, about
        folder.mkdir(parents=True, exist_ok=True)
        self._older, self._weighed = _bytes_in(folder), time.monotonic()
        self._file, self._size = open_segment(folder), 0

    async def log(self, rows: Sequence[bytes]) -> None:
        """Return when the rows, JSON objects, are written. Requests that wait at the same time share one write and one sync."""
        loop = asyncio.get_running_loop()
        written = loop.create_future()
        self._waiters.append(written)
        self._rows.extend(rows)
        if self._committing is None:
            self._committing = loop.create_task(self._commit(loop))
        await written

    async def _commit(self, loop: asyncio.AbstractEventLoop) -> None:
        """While one group is on its way to the disk, the next gathers. Whatever comes, nobody waits for ever."""
        waiters: list[asyncio.Future[None]] = []
        try:
            while self._waiters:
                await self._gather()
                rows, self._rows = self._rows, []
                waiters, self._waiters = self._waiters, []
                await self._append_group(loop, rows)
                _release(waiters)
        finally:
            _release([*waiters, *self._waiters])
            self._waiters.clear()
            self._committing = None

    async def _gather(self) -> None:
        """Let requests that the event loop is about to read join the group, as long as its turns bring more of them.

        A lone request waits for two turns, microseconds; when many ask, most of them share a sync (docs/decisions/0012).
        """
        known, until = 0, time.perf_counter() + COMPANY_SECONDS
        while len(self._waiters) > known and time.perf_counter() < until:
            known = len(self._waiters)
            await asyncio.sleep(0)  # reads the sockets
            await asyncio.sleep(0)  # lets the requests come here

    async def _append_group(self, loop: asyncio.AbstractEventLoop, rows: Sequence[bytes]) -> None:
        if self._sync and self._pace > QUICK_SECONDS and not self._closed:
            await loop.run_in_executor(self._writer, self.append, rows)
        else:
            self.append(rows)

    def append(self, rows: Sequence[bytes]) -> None:
        """Write the rows before returning. A full or broken disk, or a full journal, costs the rows, counted, never the answer."""
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
        """Write what still gathers, and release the segment; the shipper may then remove it."""
        rows, self._rows = self._rows, []
        self.append(rows)
        with self._lock:
            if not self._closed:
                self._closed = True
                os.close(self._file)
        self._writer.shutdown()

    def _write(self, data: bytes) -> bytes:
        """Return the whole lines that are in the segment now: they will be shipped, whatever else fails."""
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
                os.ftruncate(
                    self._file, self._size
                )  # a torn line is no row: the shipper has not taken it
            if self._sync:
                self._sync_now()
        except OSError as error:
            self._size = (
                self._segment_bytes
            )  # the next rows go to a new segment: this one's later syncs prove nothing
            get_logger().error("journal", state="rows not safe from a power cut", error=str(error))
        return whole

    def _sync_now(self) -> None:
        started = time.perf_counter()
        os.fdatasync(self._file)
        self._pace += 0.1 * (time.perf_counter() - started - self._pace)

    def _is_full(self, more: int) -> bool:
        """The shipper removes segments behind our back: weigh them again before rows are dropped, once a second at most."""
        if self._older + self._size + more <= self._maximum:
            return False
        if time.monotonic() - self._weighed >= WEIGH_SECONDS:
            self._older, self._weighed = _bytes_in(self._folder) - self._size, time.monotonic()
        return self._older + self._size + more > self._maximum

    def _rotate(self) -> None:
        full, self._file, self._size = self._file, open_segment(self._folder), 0
        os.close(full)
        self._older = _bytes_in(self._folder)


def _release(waiters: Sequence[asyncio.Future[None]]) -> None:
    for written in waiters:
        if not written.done():
            written.set_result(None)


def _bytes_in(folder: Path) -> int:
    """Bytes of all segments; one that is removed meanwhile counts nothing."""
    total = 0
    for segment in segments(folder):
        with suppress(FileNotFoundError):
            total += segment.stat().st_size
    return total


def open_segment(folder: Path) -> int:
    """Create a segment and lock it; return its descriptor. Raises OSError."""
    return create_locked(folder / f"{time.time_ns():020d}-{os.getpid()}{SUFFIX}")


def segments(folder: Path) -> list[Path]:
    """Oldest first."""
    return sorted(folder.glob(f"*{SUFFIX}"))


def is_abandoned(segment: Path) -> bool:
    """True when no process writes to the segment any more."""
    with segment.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        return True
