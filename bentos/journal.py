"""The inference journal: every answer is in a local file before it leaves; a shipper moves the rows to PostgreSQL.

A row is one line, `<crc32, 8 hex digits> <JSON>\\n`. A segment is a file of lines, locked by its writer as long as it
writes, so that any process can tell a live segment from one left behind. Rows survive the death of the process
(they are the kernel's after one write call), not of the machine.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import threading
import time
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from core.logs import get_logger

SEGMENT_BYTES = 8 * 2**20
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


def encode_row(row: bytes) -> bytes:
    """One line of a segment from a JSON object."""
    return b"%08x %s\n" % (zlib.crc32(row), row)


def decode_row(line: bytes) -> bytes | None:
    """Return the JSON of a line, or None when it is torn or altered."""
    checksum, separator, payload = line.removesuffix(b"\n").partition(b" ")
    return payload if separator and checksum == b"%08x" % zlib.crc32(payload) else None


class Journal:
    """Append-only. Raises OSError at start when the folder cannot be written."""

    def __init__(self, folder: Path, *, counts: JournalCounts, segment_bytes: int = SEGMENT_BYTES) -> None:
        self._folder, self._counts, self._segment_bytes = folder, counts, segment_bytes
        self._lock = threading.Lock()
        self._rows: list[bytes] = []
        self._waiters: list[asyncio.Future[None]] = []
        folder.mkdir(parents=True, exist_ok=True)
        self._file, self._size = open_segment(folder), 0

    async def log(self, rows: Sequence[bytes]) -> None:
        """Return when the rows, JSON objects, are written. Requests that are ready in one turn of the event loop share one write."""
        loop = asyncio.get_running_loop()
        if not self._waiters:
            loop.call_soon(self._commit)
        written = loop.create_future()
        self._waiters.append(written)
        self._rows.extend(rows)
        await written

    def _commit(self) -> None:
        rows, self._rows = self._rows, []
        waiters, self._waiters = self._waiters, []
        self.append(rows)
        for written in waiters:
            if not written.done():
                written.set_result(None)

    def append(self, rows: Sequence[bytes]) -> None:
        """Write the rows before returning. A full or broken disk costs the rows, counted, never the answer."""
        data = b"".join(map(encode_row, rows))
        with self._lock:
            try:
                self._write(data)
            except OSError as error:
                self._counts.dropped += len(rows)
                get_logger().error("journal", state="row lost", error=str(error))
                return
            self._counts.written += len(rows)

    def close(self) -> None:
        """Release the segment; the shipper may then remove it."""
        with self._lock:
            os.close(self._file)

    def _write(self, data: bytes) -> None:
        if self._size >= self._segment_bytes:
            self._rotate()
        written = os.write(self._file, data)
        self._size += written
        if written < len(data):
            self._size = self._segment_bytes  # what follows a torn line goes to a new segment
            raise OSError("the disk is full")

    def _rotate(self) -> None:
        fresh = open_segment(self._folder)
        os.close(self._file)
        self._file, self._size = fresh, 0


def open_segment(folder: Path) -> int:
    """Make a segment and lock it; it gets its name only when it is locked, so that nobody takes it for abandoned."""
    name = f"{time.time_ns():020d}-{os.getpid()}"
    draft = folder / f"{name}.new"
    file = os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_APPEND, 0o600)
    fcntl.flock(file, fcntl.LOCK_EX)
    draft.rename(folder / f"{name}{SUFFIX}")
    return file


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
