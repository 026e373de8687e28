from __future__ import annotations

import asyncio
import json
import os
import zlib
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bentos import journal as journal_module
from bentos import shipper as shipper_module
from bentos.journal import LINE_ROWS, Journal, JournalCounts, count_rows, decode_line, encode_rows, open_segment, segments, split_rows
from bentos.shipper import REFUSED, RowRefused, Shipper
from tests.serving_kit import inference, row


class Table:
    """A table with a key, which can be away, or refuse a phrase."""

    def __init__(self) -> None:
        self.rows: dict[str, dict] = {}
        self.calls = 0
        self.away = False

    def insert(self, rows: Sequence[bytes]) -> None:
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


def opened(folder: Path, table: Table, **options: Any) -> tuple[Journal, Shipper, JournalCounts]:
    counts = JournalCounts()
    return Journal(folder, counts=counts, **options), Shipper(folder, insert=table.insert, counts=counts), counts


def requests(numbers: range) -> set[str]:
    return {f"request-{number}" for number in numbers}


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
    assert [found for line in lines for found in split_rows(decode_line(line) or b"")] == rows
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


def test_rows_are_shipped_while_the_segment_lives_and_it_is_removed_after(tmp_path: Path) -> None:
    table = Table()
    journal, shipper, counts = opened(tmp_path, table)
    journal.append([row(1)])
    shipper.ship()
    assert (table.rows.keys(), len(segments(tmp_path)), counts.waiting) == (requests(range(1, 2)), 1, 0)
    journal.append([row(2)])
    journal.close()
    shipper.ship()
    assert table.rows.keys() == requests(range(1, 3))
    assert [path.name for path in tmp_path.iterdir()] == ["shipper.lock"]


def test_nothing_is_lost_while_the_database_is_away(tmp_path: Path) -> None:
    table = Table()
    journal, shipper, counts = opened(tmp_path, table, segment_bytes=2000)
    table.away = True
    for number in range(50):
        journal.append([row(number)])
        with pytest.raises(ConnectionError):
            shipper.ship()
    assert (counts.waiting, counts.shipped, len(segments(tmp_path)) > 3) == (50, 0, True)
    table.away = False
    shipper.ship()
    assert (table.rows.keys(), counts.waiting, len(segments(tmp_path))) == (requests(range(50)), 0, 1)


def test_a_new_process_replays_what_an_earlier_one_left(tmp_path: Path) -> None:
    table = Table()
    journal, shipper, _ = opened(tmp_path, table)
    journal.append([row(1)])
    shipper.ship()
    journal.append([row(2), row(3)])
    os.close(journal._file)  # as the kernel does for a killed process
    shipper._lock.close()
    calls = table.calls
    _, later, counts = opened(tmp_path, table)
    assert counts.waiting == 2
    later.ship()
    assert (table.rows.keys(), table.calls - calls, counts.waiting) == (requests(range(1, 4)), 1, 0)


def test_what_is_written_while_a_batch_is_shipped_waits_for_the_next_turn(tmp_path: Path) -> None:
    table, counts = Table(), JournalCounts()
    journal = Journal(tmp_path, counts=counts)

    def busy_insert(rows: Sequence[bytes]) -> None:
        table.insert(rows)
        journal.append([row(table.calls)])

    shipper = Shipper(tmp_path, insert=busy_insert, counts=counts)
    journal.append([row(0)])
    for calls in (1, 2):
        shipper.ship()
        assert (table.calls, table.rows.keys(), counts.waiting) == (calls, requests(range(calls)), 1)


def test_a_lost_position_repeats_rows_without_doubling_them(tmp_path: Path) -> None:
    table = Table()
    journal, shipper, _ = opened(tmp_path, table)
    journal.append([row(1), row(2)])
    shipper.ship()
    next(tmp_path.glob("*.position")).write_text("")
    shipper.ship()
    assert (table.calls, table.rows.keys()) == (2, requests(range(1, 3)))


def test_torn_and_altered_lines_are_skipped_and_counted(tmp_path: Path) -> None:
    table = Table()
    whole = encode_rows([row(1)])
    altered = encode_rows([row(2), row(4)]).replace(b"heart", b"lungs")
    (tmp_path / "0-1.jsonl").write_bytes(whole + b"rubbish\n" + altered + encode_rows([row(3)]) + whole[:40])
    _, shipper, counts = opened(tmp_path, table)
    shipper.ship()
    assert (table.rows.keys(), counts.corrupt, counts.waiting) == ({"request-1", "request-3"}, 4, 0)


def test_the_unfinished_line_of_a_live_segment_waits(tmp_path: Path) -> None:
    table = Table()
    journal, shipper, counts = opened(tmp_path, table)
    line = encode_rows([row(1)])
    os.write(journal._file, line[:30])
    shipper.ship()
    assert (len(table.rows), counts.corrupt) == (0, 0)
    os.write(journal._file, line[30:])
    shipper.ship()
    assert (table.rows.keys(), counts.corrupt) == (requests(range(1, 2)), 0)


def test_one_refused_row_does_not_hold_the_others(tmp_path: Path) -> None:
    table = Table()
    journal, shipper, counts = opened(tmp_path, table)
    journal.append([row(number, phrase="poison" if number == 13 else "fine") for number in range(40)])
    shipper.ship()
    assert table.rows.keys() == requests(range(40)) - {"request-13"}
    assert (counts.refused, counts.shipped, counts.waiting) == (1, 39, 0)
    assert "poison" in (tmp_path / REFUSED).read_text()


def test_a_line_that_is_no_json_is_refused_alone(tmp_path: Path) -> None:
    table, foreign = Table(), b"nope"
    line = b"%08x %b\n" % (zlib.crc32(foreign), foreign)
    (tmp_path / "0-1.jsonl").write_bytes(encode_rows([row(1), row(2)]) + line + encode_rows([row(3)]))
    _, shipper, counts = opened(tmp_path, table)
    shipper.ship()
    assert (table.rows.keys(), counts.refused, counts.waiting) == (requests(range(1, 4)), 1, 0)
    assert (tmp_path / REFUSED).read_bytes() == b"nope\n"


def test_a_backlog_of_many_batches_is_shipped_in_one_turn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shipper_module, "BATCH_BYTES", 5000)
    table = Table()
    journal, shipper, counts = opened(tmp_path, table)
    journal.append([row(number) for number in range(300)])  # lines longer than a batch
    shipper.ship()
    assert (len(table.rows), counts.waiting, table.calls) == (300, 0, 5)


def test_of_two_shippers_one_ships_and_a_live_segment_stays(tmp_path: Path) -> None:
    first_table, second_table = Table(), Table()
    first, first_shipper, _ = opened(tmp_path, first_table)
    second, second_shipper, _ = opened(tmp_path, second_table)
    first.append([row(1)])
    second.append([row(2)])
    first_shipper.ship()
    second_shipper.ship()
    assert (first_table.rows.keys(), second_table.rows.keys()) == (requests(range(1, 3)), set())
    assert len(segments(tmp_path)) == 2


def test_a_full_disk_costs_the_row_and_not_the_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = Table()
    journal, shipper, counts = opened(tmp_path, table)
    write = os.write
    monkeypatch.setattr(journal_module.os, "write", lambda file, data: write(file, data[:25]))
    journal.append([row(1)])
    monkeypatch.setattr(journal_module.os, "write", write)
    journal.append([row(2)])
    shipper.ship()
    assert (table.rows.keys(), counts) == ({"request-2"}, JournalCounts(written=1, shipped=1, dropped=1))


def test_of_a_group_that_does_not_fit_the_disk_the_lines_that_do_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table, write = Table(), os.write
    journal, shipper, counts = opened(tmp_path, table)
    rows = [row(number) for number in range(LINE_ROWS + 3)]
    fits = len(encode_rows(rows[:LINE_ROWS])) + 25
    monkeypatch.setattr(journal_module.os, "write", lambda file, data: write(file, data[:fits]))
    journal.append(rows)
    journal.close()
    shipper.ship()
    kept = JournalCounts(written=LINE_ROWS, shipped=LINE_ROWS, dropped=3)
    assert (table.rows.keys(), counts) == (requests(range(LINE_ROWS)), kept)


def test_rows_whose_sync_failed_are_counted_as_what_becomes_of_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table, sync = Table(), os.fdatasync
    journal, shipper, counts = opened(tmp_path, table, sync=True)
    monkeypatch.setattr(journal_module.os, "fdatasync", failing)
    journal.append([row(1), row(2)])
    shipper.ship()
    assert (table.rows.keys(), counts) == (requests(range(1, 3)), JournalCounts(written=2, shipped=2))
    monkeypatch.setattr(journal_module.os, "fdatasync", sync)
    journal.append([row(3)])
    assert len(segments(tmp_path)) == 2, "a file whose sync failed takes no more rows: the next sync of it would say that all is well"


def failing(*_: object) -> None:
    raise OSError("broken")


def test_a_segment_that_cannot_be_made_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    open_files = len(os.listdir("/proc/self/fd"))
    monkeypatch.setattr(journal_module.fcntl, "flock", failing)
    with pytest.raises(OSError, match="broken"):
        open_segment(tmp_path)
    assert (list(tmp_path.iterdir()), len(os.listdir("/proc/self/fd"))) == ([], open_files)


def test_a_folder_that_cannot_be_written_is_noticed_at_start(tmp_path: Path) -> None:
    (tmp_path / "journal").write_text("a file")
    with pytest.raises(OSError):
        Journal(tmp_path / "journal", counts=JournalCounts())


def test_what_waits_at_the_same_time_shares_a_sync(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced, real = [], os.fdatasync
    monkeypatch.setattr(os, "fdatasync", lambda file: (synced.append(file), real(file)))
    journal, _, counts = opened(tmp_path, Table(), sync=True)

    async def together(rows: range) -> None:
        await asyncio.gather(*(journal.log([row(number)]) for number in rows))

    asyncio.run(together(range(50)))
    assert (counts.written, len(synced)) == (50, 1)
    asyncio.run(together(range(50, 51)))
    assert (counts.written, len(synced)) == (51, 2)


def test_requests_that_arrive_while_a_group_gathers_share_its_sync(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced, real = [], os.fdatasync
    monkeypatch.setattr(os, "fdatasync", lambda file: (synced.append(file), real(file)))
    monkeypatch.setattr(journal_module, "COMPANY_SECONDS", 60)
    journal, _, counts = opened(tmp_path, Table(), sync=True)

    async def one_a_turn() -> None:
        asked = []
        for number in range(20):
            asked.append(asyncio.ensure_future(journal.log([row(number)])))
            await asyncio.sleep(0)
        await asyncio.gather(*asked)

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
    assert (table.rows.keys(), counts) == (requests(range(1, 2)), JournalCounts(written=1, shipped=1))


def test_nobody_waits_for_a_commit_that_was_cancelled_and_its_rows_are_not_lost(tmp_path: Path) -> None:
    journal, _, counts = opened(tmp_path, Table())

    async def cancel_meanwhile() -> None:
        logged = asyncio.ensure_future(journal.log([row(1)]))
        await asyncio.sleep(0)
        await asyncio.sleep(0)  # it gathers now
        journal._committing.cancel()
        await asyncio.wait_for(logged, 60)
        await journal.log([row(2)])

    asyncio.run(cancel_meanwhile())
    assert counts.written == 2


def test_a_request_that_goes_away_leaves_its_row_and_the_others_alone(tmp_path: Path) -> None:
    journal, _, counts = opened(tmp_path, Table(), sync=True)

    async def one_goes() -> bool:
        gone, stays = asyncio.ensure_future(journal.log([row(1)])), asyncio.ensure_future(journal.log([row(2)]))
        await asyncio.sleep(0)
        gone.cancel()
        await stays
        return gone.cancelled()

    assert asyncio.run(one_goes())
    assert counts.written == 2


def test_a_full_journal_drops_new_rows_keeps_old_ones_and_recovers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal_module, "WEIGH_SECONDS", 0)
    table = Table()
    journal, shipper, counts = opened(tmp_path, table, maximum=3 * len(encode_rows([row(1)])), segment_bytes=1)
    for number in range(1, 6):
        journal.append([row(number)])
    assert (counts.written, counts.dropped) == (3, 2)
    shipper.ship()
    assert table.rows.keys() == requests(range(1, 4))
    journal.append([row(6)])
    assert (counts.written, counts.dropped) == (4, 2)
