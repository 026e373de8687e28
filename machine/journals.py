"""What waits in the journals of this machine's services for the database."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from core.settings import Settings

ROW_MARK = b'"request_id":'
"""Once in every row of a segment: quotes inside a value are escaped."""
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
    parts = [(file, _shipped(file), _size(file)) for file in segments]
    size = sum(max(end - begin, 0) for _, begin, end in parts)
    read = rows = 0
    for file, begin, end in parts:
        if read >= COUNTED:
            break
        content = _content(file, begin, min(end - begin, COUNTED - read))
        read += len(content)
        rows += content.count(ROW_MARK)
    return Waiting(round(rows * size / read) if read else 0, size)


def _shipped(segment: Path) -> int:
    """Return how many bytes of a segment are in the database: a whole segment goes when it ends."""
    try:
        return int(segment.with_suffix(".position").read_bytes() or 0)
    except (FileNotFoundError, ValueError):
        return 0


def _size(file: Path) -> int:
    """Return the size, 0 for a segment that was shipped and removed meanwhile."""
    try:
        return file.stat().st_size
    except FileNotFoundError:
        return 0


def _content(file: Path, begin: int, most: int) -> bytes:
    try:
        with file.open("rb") as opened:
            opened.seek(begin)
            return opened.read(max(most, 0))
    except FileNotFoundError:
        return b""
