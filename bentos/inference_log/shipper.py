"""Moves journal rows to the `inference` table: in batches, in order, exactly once per key."""

from __future__ import annotations

import fcntl
from collections.abc import Callable, Sequence
from itertools import accumulate
from pathlib import Path
from typing import IO, NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from bentos.inference_log.journal import (
    JournalCounts,
    count_rows,
    decode_line,
    is_abandoned,
    segments,
    split_rows,
)
from bentos.inference_log.positions import position_file, save_position, shipped_position
from core.logs import first_line, get_logger
from core.tables.loop import inference

BATCH_BYTES = 2**20
REFUSED = "refused-rows.txt"
CORRUPT = "corrupt-lines.txt"
CORRUPT_BYTES = 64 * 2**20  # about the size of CORRUPT, so that a bad disk does not fill itself
REFUSED_BYTES = 64 * 2**20  # about the size of REFUSED, so that a client does not fill the disk
NAMED_OFFSETS = 20  # per log line
NAMED_REASONS = 20  # per log line

_COLUMNS = ", ".join(column.name for column in inference.columns if column.name != "sequence")
_INSERT = sa.text(
    f"insert into inference ({_COLUMNS}) select {_COLUMNS} from"
    " jsonb_populate_recordset(null::inference, cast(convert_from(:rows, 'UTF8') as jsonb))"
    " on conflict do nothing"
)


class RowRefused(Exception):
    """The database will never accept one of these rows as it is."""


class RefusedRow(NamedTuple):
    """A JSON row that will never be stored, and why."""

    row: bytes
    reason: str


Insert = Callable[[Sequence[bytes]], Sequence[RefusedRow]]
"""Stores rows, and returns those that it refuses by itself. Raises `RowRefused` when the database
refuses one, which the caller has to find."""


def insert_into(engine: Engine) -> Insert:
    """Return the adapter that inserts JSON rows.

    It raises `RowRefused` for bad data, and SQLAlchemy's errors for an outage.
    """

    def insert(rows: Sequence[bytes]) -> Sequence[RefusedRow]:
        try:
            with engine.begin() as connection:
                insert_rows(connection, b"[%b]" % b",".join(rows))
        except (sa.exc.DataError, sa.exc.IntegrityError) as error:
            raise RowRefused(first_line(error)) from None
        return []

    return insert


def insert_rows(connection: Connection, rows: bytes) -> None:
    """Store a JSON list of rows; those that are stored already stay. The caller commits."""
    connection.execute(_INSERT, {"rows": rows})


class _Line(NamedTuple):
    """A line of a segment, and the byte at which it begins."""

    offset: int
    data: bytes


class _Shipped(NamedTuple):
    """The result of a batch: numbers of rows, and the unreadable lines."""

    rows: int
    refused: int
    corrupt: Sequence[_Line]


class Shipper:
    """Ships the journal of a folder; of several processes on one folder, only one ships.

    After every commit, the position in a segment is saved beside it. A crash between commit and
    position repeats a batch, which the table's key ignores. Segments that are shipped and abandoned
    are removed.
    """

    def __init__(self, folder: Path, *, insert: Insert, counts: JournalCounts) -> None:
        self._folder = folder
        self._insert = insert
        self._counts = counts
        self._lock: IO[str] | None = None
        self._counts.left_over += sum(_waiting_rows(segment) for segment in segments(folder))

    def ship(self) -> None:
        """Ship every complete line. Raises SQLAlchemy's errors in an outage; nothing is lost."""
        if not self._alone():
            return
        for segment in segments(self._folder):
            abandoned = is_abandoned(segment)  # first: rows written after it are read below
            self._ship_segment(segment, abandoned=abandoned)
            if abandoned:
                position_file(segment).unlink(missing_ok=True)
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
        """Ship batch by batch until a read returns less than one.

        Rows that are written meanwhile wait, so that they too are shipped in a batch.
        """
        with segment.open("rb") as file:
            file.seek(shipped_position(segment))
            while lines := file.readlines(BATCH_BYTES):
                torn = not lines[-1].endswith(b"\n")
                if torn and not abandoned:
                    lines.pop()
                position = shipped_position(segment)
                read_bytes = sum(map(len, lines))
                shipped = self._ship_lines(_placed(lines, position))
                save_position(segment, position + read_bytes)
                self._count(shipped, segment)
                if torn or read_bytes < BATCH_BYTES:
                    return

    def _ship_lines(self, lines: Sequence[_Line]) -> _Shipped:
        decoded = [(line, decode_line(line.data)) for line in lines]
        corrupt = [line for line, payload in decoded if payload is None]
        whole = [payload for _, payload in decoded if payload is not None]
        refused = self._ship_rows(whole) if whole else []
        self._keep_refused(refused)
        self._keep_corrupt(corrupt)
        refused_rows = sum(count_rows(row) for row, _ in refused)
        rows = sum(map(count_rows, whole)) - refused_rows
        return _Shipped(rows, refused=refused_rows, corrupt=corrupt)

    def _ship_rows(self, parts: Sequence[bytes]) -> list[RefusedRow]:
        """Insert rows; return those that are refused.

        A batch that the database refuses is halved until the bad rows are found.
        """
        try:
            return list(self._insert(parts))
        except RowRefused as error:
            parts = parts if len(parts) > 1 else split_rows(parts[0])
            if len(parts) == 1:
                return [RefusedRow(parts[0], str(error))]
            middle = len(parts) // 2
            return self._ship_rows(parts[:middle]) + self._ship_rows(parts[middle:])

    def _keep_refused(self, refused: Sequence[RefusedRow]) -> None:
        """Save refused rows for people, up to REFUSED_BYTES; log the first distinct reasons."""
        if not refused:
            return
        get_logger().error(
            "journal",
            state="rows refused",
            rows=len(refused),
            reasons=list(dict.fromkeys(reason for _, reason in refused))[:NAMED_REASONS],
            kept_in=REFUSED,
        )
        with (self._folder / REFUSED).open("ab") as file:
            for row, _ in refused:
                if file.tell() < REFUSED_BYTES:
                    file.write(row + b"\n")

    def _keep_corrupt(self, lines: Sequence[_Line]) -> None:
        """Save corrupt lines before their segment is removed, up to CORRUPT_BYTES."""
        if not lines:
            return
        with (self._folder / CORRUPT).open("ab") as file:
            for line in lines:
                if file.tell() < CORRUPT_BYTES:
                    file.write(line.data if line.data.endswith(b"\n") else line.data + b"\n")

    def _count(self, batch: _Shipped, segment: Path) -> None:
        """Count a batch whose position is saved; one that an outage interrupts is repeated."""
        corrupt = sum(count_rows(line.data) for line in batch.corrupt)
        self._counts.shipped += batch.rows
        self._counts.refused += batch.refused
        self._counts.corrupt += corrupt
        if corrupt:
            get_logger().error(
                "journal",
                state="corrupt lines skipped",
                segment=segment.name,
                offsets=[line.offset for line in batch.corrupt[:NAMED_OFFSETS]],
                lines=len(batch.corrupt),
                rows=corrupt,
                kept_in=CORRUPT,
            )


def _placed(lines: Sequence[bytes], position: int) -> list[_Line]:
    """Return the lines with their offsets; the first begins at `position`."""
    ends = accumulate(map(len, lines), initial=position)
    return [_Line(offset, line) for offset, line in zip(ends, lines, strict=False)]


def _waiting_rows(segment: Path) -> int:
    with segment.open("rb") as file:
        file.seek(shipped_position(segment))
        return sum(map(count_rows, file))
