from __future__ import annotations

import asyncio
import fcntl
import json
import os
from dataclasses import asdict
from datetime import datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bentos.inference_log import journal as journal_module
from bentos.inference_log.journal import (
    LINE_ROWS,
    Journal,
    JournalCounts,
    count_rows,
    decode_line,
    encode_rows,
    open_segment,
    segments,
    split_rows,
)
from tests.support.inferences import inference, row
from tests.support.journals import Table, opened, requests


@given(st.text(st.characters(codec="utf-8")), st.datetimes(), st.floats(0, 1))
def test_a_row_survives_its_line(phrase: str, occurred_at: datetime, probability: float) -> None:
    line = encode_rows([row(1, phrase=phrase, occurred_at=occurred_at, probability=probability)])
    assert line.count(b"\n") == 1 and line.endswith(b"\n")
    stored = json.loads(decode_line(line) or b"")
    assert (stored["phrase"], stored["probability"]) == (phrase, probability)
    assert stored.keys() == asdict(inference(1)).keys()


@given(st.lists(st.text(st.characters(codec="utf-8")), min_size=1, max_size=2 * LINE_ROWS + 1))
def test_rows_that_are_written_together_share_lines(phrases: list[str]) -> None:
    rows = [row(number, phrase=phrase + '"request_id":') for number, phrase in enumerate(phrases)]
    lines = encode_rows(rows).splitlines(keepends=True)
    assert [payload for line in lines for payload in split_rows(decode_line(line) or b"")] == rows
    assert (sum(map(count_rows, lines)), len(lines)) == (len(rows), -(-len(rows) // LINE_ROWS))


@given(st.data())
def test_an_altered_line_is_noticed(data: st.DataObject) -> None:
    line = bytearray(encode_rows([row(1)]))
    place = data.draw(st.integers(0, len(line) - 2))
    line[place] ^= 1 << data.draw(st.integers(0, 7))
    assert decode_line(bytes(line)) is None


def test_rows_are_in_the_file_when_append_returns(tmp_path: Path) -> None:
    journal, _, counts = opened(tmp_path, Table())
    journal.append([row(1), row(2)])
    [segment] = segments(tmp_path)
    assert split_rows(decode_line(segment.read_bytes()) or b"") == [row(1), row(2)]
    assert (counts.written, counts.waiting) == (2, 2)


def test_a_full_disk_costs_the_row_and_not_the_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = Table()
    journal, shipper, counts = opened(tmp_path, table)
    write = os.write
    monkeypatch.setattr(os, "write", lambda file, data: write(file, data[:25]))
    journal.append([row(1)])
    monkeypatch.setattr(os, "write", write)
    journal.append([row(2)])
    shipper.ship()
    assert (table.rows.keys(), counts) == (
        {"request-2"},
        JournalCounts(written=1, shipped=1, dropped=1),
    )


def test_of_a_group_that_does_not_fit_the_disk_the_lines_that_do_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = Table()
    write = os.write
    journal, shipper, counts = opened(tmp_path, table)
    rows = [row(number) for number in range(LINE_ROWS + 3)]
    fits = len(encode_rows(rows[:LINE_ROWS])) + 25
    monkeypatch.setattr(os, "write", lambda file, data: write(file, data[:fits]))
    journal.append(rows)
    journal.close()
    shipper.ship()
    kept = JournalCounts(written=LINE_ROWS, shipped=LINE_ROWS, dropped=3)
    assert (table.rows.keys(), counts) == (requests(range(LINE_ROWS)), kept)


def test_rows_whose_sync_failed_are_counted_as_what_becomes_of_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = Table()
    sync = os.fdatasync
    journal, shipper, counts = opened(tmp_path, table, sync=True)
    monkeypatch.setattr(os, "fdatasync", failing)
    journal.append([row(1), row(2)])
    shipper.ship()
    assert (table.rows.keys(), counts) == (
        requests(range(1, 3)),
        JournalCounts(written=2, shipped=2),
    )
    monkeypatch.setattr(os, "fdatasync", sync)
    journal.append([row(3)])
    assert len(segments(tmp_path)) == 2, (
        "a file whose sync failed takes no more rows: its next sync would report success"
    )


def failing(*_: object) -> None:
    raise OSError("broken")


def test_a_segment_that_cannot_be_made_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_files = len(os.listdir("/proc/self/fd"))
    monkeypatch.setattr(fcntl, "flock", failing)
    with pytest.raises(OSError, match="broken"):
        open_segment(tmp_path)
    assert (list(tmp_path.iterdir()), len(os.listdir("/proc/self/fd"))) == ([], open_files)


def test_a_folder_that_cannot_be_written_is_noticed_at_start(tmp_path: Path) -> None:
    (tmp_path / "journal").write_text("a file")
    with pytest.raises(OSError):
        Journal(tmp_path / "journal", counts=JournalCounts())


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The file of every sync from here on."""
    files: list[int] = []
    real = os.fdatasync

    def sync(file: int) -> None:
        files.append(file)
        real(file)

    monkeypatch.setattr(os, "fdatasync", sync)
    return files


def test_what_waits_at_the_same_time_shares_a_sync(tmp_path: Path, synced: list[int]) -> None:
    journal, _, counts = opened(tmp_path, Table(), sync=True)

    async def together(rows: range) -> None:
        await asyncio.gather(*(journal.log([row(number)]) for number in rows))

    asyncio.run(together(range(50)))
    assert (counts.written, len(synced)) == (50, 1)
    asyncio.run(together(range(50, 51)))
    assert (counts.written, len(synced)) == (51, 2)


def test_requests_that_arrive_while_a_group_gathers_share_its_sync(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, synced: list[int]
) -> None:
    monkeypatch.setattr(journal_module, "GATHER_SECONDS", 60)
    journal, _, counts = opened(tmp_path, Table(), sync=True)

    async def one_a_turn() -> None:
        waiting = []
        for number in range(20):
            waiting.append(asyncio.ensure_future(journal.log([row(number)])))
            await asyncio.sleep(0)
        await asyncio.gather(*waiting)

    asyncio.run(one_a_turn())
    assert (counts.written, len(synced)) == (20, 1)


def test_what_gathers_when_the_journal_closes_is_written(tmp_path: Path) -> None:
    table = Table()
    journal, shipper, counts = opened(tmp_path, table)

    async def close_meanwhile() -> None:
        logged = asyncio.ensure_future(journal.log([row(1)]))
        await asyncio.sleep(0)
        journal.close()
        await logged

    asyncio.run(close_meanwhile())
    shipper.ship()
    assert (table.rows.keys(), counts) == (
        requests(range(1, 2)),
        JournalCounts(written=1, shipped=1),
    )


def test_nobody_waits_for_a_commit_that_was_cancelled_and_its_rows_are_not_lost(
    tmp_path: Path,
) -> None:
    journal, _, counts = opened(tmp_path, Table())

    async def cancel_meanwhile() -> None:
        logged = asyncio.ensure_future(journal.log([row(1)]))
        await asyncio.sleep(0)
        await asyncio.sleep(0)  # it gathers now
        assert journal._committing is not None
        journal._committing.cancel()
        await asyncio.wait_for(logged, 60)
        await journal.log([row(2)])

    asyncio.run(cancel_meanwhile())
    assert counts.written == 2


def test_a_request_that_goes_away_leaves_its_row_and_the_others_alone(tmp_path: Path) -> None:
    journal, _, counts = opened(tmp_path, Table(), sync=True)

    async def one_goes() -> bool:
        gone = asyncio.ensure_future(journal.log([row(1)]))
        stays = asyncio.ensure_future(journal.log([row(2)]))
        await asyncio.sleep(0)
        gone.cancel()
        await stays
        return gone.cancelled()

    assert asyncio.run(one_goes())
    assert counts.written == 2


def test_a_full_journal_drops_new_rows_keeps_old_ones_and_recovers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_module, "WEIGH_SECONDS", 0)
    table = Table()
    journal, shipper, counts = opened(
        tmp_path, table, maximum=3 * len(encode_rows([row(1)])), segment_bytes=1
    )
    for number in range(1, 6):
        journal.append([row(number)])
    assert (counts.written, counts.dropped) == (3, 2)
    shipper.ship()
    assert table.rows.keys() == requests(range(1, 4))
    journal.append([row(6)])
    assert (counts.written, counts.dropped) == (4, 2)
