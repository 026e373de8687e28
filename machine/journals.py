"""What waits in the journals of this machine's services for the database."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from bentos.inference_log.journal import ROW_MARK, SUFFIX
from bentos.inference_log.positions import shipped_position
from core.settings import Settings

COUNTED = 8 * 2**20
"""Bytes of segments that are counted row by row; the rest is estimated from them."""


@dataclass(frozen=True)
class Waiting:
    """Rows and bytes that wait for the database; `rows` is an estimate above COUNTED bytes."""

    rows: int
    size: int


def waiting_rows(settings: Settings) -> Waiting:
    """Return what waits in all journals, answers and feedback alike."""
    parts = [part for folder in settings.journals for part in _unshipped(folder)]
    size = sum(end - begin for _, begin, end in parts)
    read = rows = 0
    for segment, begin, end in parts:
        content = _content(segment, begin, min(end - begin, COUNTED - read))
        read += len(content)
        rows += content.count(ROW_MARK)
    return Waiting(round(rows * size / read) if read else 0, size)


def _unshipped(folder: Path) -> Iterator[tuple[Path, int, int]]:
    """Yield each segment with the bytes that wait; it may be shipped and removed meanwhile."""
    for segment in sorted(folder.rglob(f"*{SUFFIX}")):
        with suppress(FileNotFoundError):
            end = segment.stat().st_size
            yield segment, min(shipped_position(segment), end), end


def _content(segment: Path, begin: int, most: int) -> bytes:
    try:
        with segment.open("rb") as file:
            file.seek(begin)
            return file.read(most)
    except FileNotFoundError:
        return b""
