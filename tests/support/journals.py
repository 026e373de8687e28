"""A journal, a shipper and a table without a database."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bentos.inference_log.journal import Journal, JournalCounts, decode_line, segments, split_rows
from bentos.inference_log.shipper import RefusedRow, RowRefused, Shipper


class Table:
    """A table with a key, which can be away, or refuse a phrase."""

    def __init__(self) -> None:
        self.rows: dict[str, dict] = {}
        self.calls = 0
        self.away = False

    def insert(self, rows: Sequence[bytes]) -> Sequence[RefusedRow]:
        self.calls += 1
        if self.away:
            raise ConnectionError("away")
        try:
            decoded = json.loads(b"[" + b",".join(rows) + b"]")
        except json.JSONDecodeError as error:
            raise RowRefused(str(error)) from None
        if any(row["phrase"] == "poison" for row in decoded):
            raise RowRefused("poison")
        self.rows.update({row["request_id"]: row for row in decoded})
        return []


def opened(folder: Path, table: Table, **options: Any) -> tuple[Journal, Shipper, JournalCounts]:
    counts = JournalCounts()
    return (
        Journal(folder, counts=counts, **options),
        Shipper(folder, insert=table.insert, counts=counts),
        counts,
    )


def requests(numbers: range) -> set[str]:
    return {f"request-{number}" for number in numbers}


def journaled(folder: Path) -> list[dict[str, Any]]:
    """The rows in the segments of a journal, in order."""
    lines = [line for segment in segments(folder) for line in segment.read_bytes().splitlines()]
    whole = [payload for line in lines if (payload := decode_line(line)) is not None]
    return [json.loads(row) for payload in whole for row in split_rows(payload)]
