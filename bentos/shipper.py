"""Moves journal rows to the `inference` table: in batches, in order, exactly once by key."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO

import sqlalchemy as sa
from sqlalchemy.engine import Engine

from bentos.journal import JournalCounts, count_rows, decode_line, is_abandoned, segments, split_rows
from core.logs import first_line, get_logger

BATCH_BYTES = 2**20
REFUSED = "refused-rows.txt"

Insert = Callable[[Sequence[bytes]], None]

_INSERT = sa.text(
    "insert into inference select * from jsonb_populate_recordset(null::inference, cast(convert_from(:rows, 'UTF8') as jsonb))"
    " on conflict do nothing"
)


class RowRefused(Exception):
    """The database will never take one of these rows as it is."""


def insert_into(engine: Engine) -> Insert:
    """Return the adapter that inserts JSON rows: `RowRefused` for bad data, SQLAlchemy's errors for an outage."""

    def insert(rows: Sequence[bytes]) -> None:
        try:
            with engine.begin() as connection:
                connection.execute(_INSERT, {"rows": b"[%b]" % b",".join(rows)})
        except (sa.exc.DataError, sa.exc.IntegrityError) as error:
            raise RowRefused(first_line(error)) from None

    return insert


class Shipper:
    """Ships whatever lies in the journal folder; of several processes on one folder, one ships.

    The position in each segment is kept beside it after every commit; a crash between commit and position repeats a
    batch, which the table's key ignores. Segments that are shipped and abandoned are removed.
    """

    def __init__(self, folder: Path, *, insert: Insert, counts: JournalCounts) -> None:
        self._folder, self._insert, self._counts = folder, insert, counts
        self._lock: IO[str] | None = None
        self._counts.found += sum(_rows_after(segment, _position(segment)) for segment in segments(folder))

    def ship(self) -> None:
        """Ship all that was complete when a segment's turn came. Raises SQLAlchemy's errors when the database is away; nothing is lost."""
        if not self._alone():
            return
        for segment in segments(self._folder):
            abandoned = is_abandoned(segment)  # asked first: what is written after this is read below
            self._ship_segment(segment, abandoned=abandoned)
            if abandoned:
                _position_file(segment).unlink(missing_ok=True)
                segment.unlink()

    def _alone(self) -> bool:
        if self._lock is None:
            file = (self._folder / "shipper.lock").open("w")
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                file.close()
                return False
            self._lock = file
        return True

    def _ship_segment(self, segment: Path, *, abandoned: bool) -> None:
        """Ship batch by batch until a read brings less than one: what is written meanwhile waits, to come in company too."""
        with segment.open("rb") as file:
            file.seek(_position(segment))
            while lines := file.readlines(BATCH_BYTES):
                torn = not lines[-1].endswith(b"\n")
                if torn and not abandoned:
                    lines.pop()
                self._ship_lines(lines)
                read = sum(map(len, lines))
                _keep_position(segment, _position(segment) + read)
                if torn or read < BATCH_BYTES:
                    return

    def _ship_lines(self, lines: Sequence[bytes]) -> None:
        decoded = [(line, decode_line(line)) for line in lines]
        corrupt = sum(count_rows(line) for line, payload in decoded if payload is None)
        if corrupt:
            self._counts.corrupt += corrupt
            get_logger().error("journal", state="corrupt lines skipped", rows=corrupt)
        if whole := [payload for _, payload in decoded if payload is not None]:
            self._ship_rows(whole)

    def _ship_rows(self, parts: Sequence[bytes]) -> None:
        """Halve a batch that the database refuses until the one bad row is found; it is kept in a file for people."""
        try:
            self._insert(parts)
        except RowRefused as error:
            parts = parts if len(parts) > 1 else split_rows(parts[0])
            if len(parts) > 1:
                self._ship_rows(parts[: len(parts) // 2])
                self._ship_rows(parts[len(parts) // 2 :])
                return
            self._refuse(parts[0], reason=str(error))
            return
        self._counts.shipped += sum(map(count_rows, parts))

    def _refuse(self, row: bytes, *, reason: str) -> None:
        self._counts.refused += count_rows(row)
        get_logger().error("journal", state="row refused by the database", reason=reason, kept_in=REFUSED)
        with (self._folder / REFUSED).open("ab") as file:
            file.write(row + b"\n")


def _position_file(segment: Path) -> Path:
    return segment.with_suffix(".position")


def _position(segment: Path) -> int:
    try:
        return int(_position_file(segment).read_text())
    except (FileNotFoundError, ValueError):
        return 0


def _keep_position(segment: Path, position: int) -> None:
    draft = segment.with_suffix(".position.new")
    draft.write_text(str(position))
    os.replace(draft, _position_file(segment))


def _rows_after(segment: Path, position: int) -> int:
    with segment.open("rb") as file:
        file.seek(position)
        return sum(map(count_rows, file))
