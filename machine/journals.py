"""What waits in the journals of this machine's services for the database."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from core.settings import Settings

ROW_MARK = b'"request_id":'
"""Once in every row of a segment: quotes inside a value are escaped."""
POSITION = ".position"
"""Suffix of the file beside a segment that says how far it is shipped."""
COUNTED = 8 * 2**20
"""Bytes of segments that are counted row by row; the rest is estimated from them."""


@dataclass(frozen=True)
class Waiting:
    """Rows and bytes that wait for the database; `rows` is an estimate above COUNTED bytes."""

    rows: int
    size: int


def waiting_rows(settings: Settings) -> Waiting:
    """Return what waits in all journals, answers and feedback alike."""
    segments = sorted(file for folder in settings.journals for file in folder.rglob("*.jsonl"))
    starts = {file: _shipped(file) for file in segments}
    size = sum(max(_size(file) - starts[file], 0) for file in segments)
    read = rows = 0
    for file in segments:
        if read >= COUNTED:
            break
        content = _head(file, starts[file], COUNTED - read)
        read += len(content)
        rows += content.count(ROW_MARK)
    return Waiting(round(rows * size / read) if read else 0, size)


def _size(file: Path) -> int:
    """Return the size, 0 for a segment that was shipped and removed meanwhile."""
    try:
        return file.stat().st_size
    except FileNotFoundError:
        return 0


def _shipped(file: Path) -> int:
    """Return the bytes of a segment that the database has: the shipper saves them beside it."""
    try:
        return int(file.with_suffix(POSITION).read_text())
    except (FileNotFoundError, ValueError):
        return 0


def _head(file: Path, start: int, most: int) -> bytes:
    try:
        with file.open("rb") as opened:
            opened.seek(start)
            return opened.read(most)
    except FileNotFoundError:
        return b""
