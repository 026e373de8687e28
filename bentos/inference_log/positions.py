"""How far each segment of a journal is in the database: a file beside the segment."""

from __future__ import annotations

from pathlib import Path

from core.files import replacing


def position_file(segment: Path) -> Path:
    """Return the file that holds the position of a segment."""
    return segment.with_suffix(".position")


def shipped_position(segment: Path) -> int:
    """Return the saved position, or 0 when it is missing or impossible.

    The table's key ignores rows that are shipped again.
    """
    try:
        position = int(position_file(segment).read_text())
    except (FileNotFoundError, ValueError):
        return 0
    return position if 0 <= position <= segment.stat().st_size else 0


def save_position(segment: Path, position: int) -> None:
    """Replace the position of a segment."""
    with replacing(position_file(segment)) as draft:
        draft.write_text(str(position))
