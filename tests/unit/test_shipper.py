from __future__ import annotations

import os
import zlib
from collections.abc import Sequence
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from bentos.inference_log import shipper as shipper_module
from bentos.inference_log.journal import Journal, JournalCounts, encode_rows, segments
from bentos.inference_log.shipper import CORRUPT, REFUSED, RefusedRow, Shipper
from tests.support.inferences import row
from tests.support.journals import Table, opened, requests

PHRASES = ("fine", "fine", "poison", "fine")


def test_rows_are_shipped_while_the_segment_lives_and_it_is_removed_after(tmp_path: Path) -> None:
    table = Table()
    journal, shipper, counts = opened(tmp_path, table)
    journal.append([row(1)])
    shipper.ship()
    assert (table.rows.keys(), len(segments(tmp_path)), counts.waiting) == (
        requests(range(1, 2)),
        1,
        0,
    )
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
    assert (table.rows.keys(), counts.waiting, len(segments(tmp_path))) == (
        requests(range(50)),
        0,
        1,
    )


def test_a_new_process_replays_what_an_earlier_one_left(tmp_path: Path) -> None:
    table = Table()
    journal, shipper, _ = opened(tmp_path, table)
    journal.append([row(1)])
    shipper.ship()
    journal.append([row(2), row(3)])
    os.close(journal._file)  # as the kernel does for a killed process
    assert shipper._lock is not None
    shipper._lock.close()
    calls = table.calls
    _, later, counts = opened(tmp_path, table)
    assert counts.waiting == 2
    later.ship()
    assert (table.rows.keys(), table.calls - calls, counts.waiting) == (requests(range(1, 4)), 1, 0)


def test_what_is_written_while_a_batch_is_shipped_waits_for_the_next_turn(tmp_path: Path) -> None:
    table = Table()
    counts = JournalCounts()
    journal = Journal(tmp_path, counts=counts)

    def busy_insert(rows: Sequence[bytes]) -> Sequence[RefusedRow]:
        refused = table.insert(rows)
        journal.append([row(table.calls)])
        return refused

    shipper = Shipper(tmp_path, insert=busy_insert, counts=counts)
    journal.append([row(0)])
    for calls in (1, 2):
        shipper.ship()
        assert (table.calls, table.rows.keys(), counts.waiting) == (
            calls,
            requests(range(calls)),
            1,
        )


@pytest.mark.parametrize("kept", ["", "-1", "99999", "many"])
def test_a_lost_position_repeats_rows_without_doubling_them(tmp_path: Path, kept: str) -> None:
    table = Table()
    journal, shipper, _ = opened(tmp_path, table)
    journal.append([row(1), row(2)])
    shipper.ship()
    next(tmp_path.glob("*.position")).write_text(kept)
    shipper.ship()
    assert (table.calls, table.rows.keys()) == (2, requests(range(1, 3)))


def test_torn_and_altered_lines_are_skipped_and_counted(tmp_path: Path) -> None:
    table = Table()
    whole = encode_rows([row(1)])
    altered = encode_rows([row(2), row(4)]).replace(b"heart", b"lungs")
    (tmp_path / "0-1.jsonl").write_bytes(
        whole + b"rubbish\n" + altered + encode_rows([row(3)]) + whole[:40]
    )
    _, shipper, counts = opened(tmp_path, table)
    shipper.ship()
    assert (table.rows.keys(), counts.corrupt, counts.waiting) == ({"request-1", "request-3"}, 4, 0)
    assert (tmp_path / CORRUPT).read_bytes() == b"rubbish\n" + altered + whole[:40] + b"\n"


def test_corrupt_lines_are_named_by_segment_and_offset(tmp_path: Path) -> None:
    lines = [
        *(encode_rows([row(number)]) for number in range(3)),
        b"rubbish\n",
        encode_rows([row(4)]),
    ]
    shipped = b"".join(lines[:2])
    corrupt = b"".join(lines[2:]).replace(b"heart", b"lungs", 1)
    (tmp_path / "0-1.jsonl").write_bytes(shipped + corrupt)
    (tmp_path / "0-1.position").write_text(str(len(shipped)))
    _, shipper, _ = opened(tmp_path, Table())
    with capture_logs() as logs:
        shipper.ship()
    [line] = [line for line in logs if line.get("state") == "corrupt lines skipped"]
    assert (line["segment"], line["offsets"], line["lines"], line["rows"]) == (
        "0-1.jsonl",
        [len(shipped), len(shipped + lines[2])],
        2,
        2,
    )
    assert (line["log_level"], line["kept_in"]) == ("error", CORRUPT)


def test_of_endless_corrupt_lines_only_the_first_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shipper_module, "CORRUPT_BYTES", 20)
    (tmp_path / "0-1.jsonl").write_bytes(b"rubbish\n" * 100 + encode_rows([row(1)]))
    table = Table()
    _, shipper, counts = opened(tmp_path, table)
    with capture_logs() as logs:
        shipper.ship()
    assert (table.rows.keys(), counts.corrupt, (tmp_path / CORRUPT).read_bytes()) == (
        {"request-1"},
        100,
        b"rubbish\n" * 3,
    )
    [line] = [line for line in logs if line.get("state") == "corrupt lines skipped"]
    assert (line["lines"], line["offsets"]) == (100, list(range(0, 160, 8)))


def test_of_endless_refused_rows_only_the_first_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad = row(0, phrase="poison")
    monkeypatch.setattr(shipper_module, "REFUSED_BYTES", 2 * len(bad))
    table = Table()
    for turn in range(2):
        (tmp_path / f"{turn}-1.jsonl").write_bytes(encode_rows([bad] * 100 + [row(turn)]))
    _, shipper, counts = opened(tmp_path, table)
    with capture_logs() as logs:
        shipper.ship()
    assert (table.rows.keys(), counts.refused) == (requests(range(2)), 200)
    assert (tmp_path / REFUSED).read_bytes() == (bad + b"\n") * 2
    lines = [line for line in logs if line.get("state") == "rows refused"]
    assert [(line["rows"], line["reasons"]) for line in lines] == [(100, ["poison"])] * 2


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
    journal.append(
        [row(number, phrase="poison" if number == 13 else "fine") for number in range(40)]
    )
    shipper.ship()
    assert table.rows.keys() == requests(range(40)) - {"request-13"}
    assert (counts.refused, counts.shipped, counts.waiting) == (1, 39, 0)
    assert "poison" in (tmp_path / REFUSED).read_text()


def test_a_batch_that_an_outage_cuts_short_is_counted_once(tmp_path: Path) -> None:
    table = Table()
    (tmp_path / "0-1.jsonl").write_bytes(
        b"rubbish\n"
        + b"".join(encode_rows([row(number, phrase=PHRASES[number])]) for number in range(4))
    )
    counts = JournalCounts()

    def insert(rows: Sequence[bytes]) -> Sequence[RefusedRow]:
        table.away = table.calls == 2  # the whole, its first half, then nothing
        return table.insert(rows)

    shipper = Shipper(tmp_path, insert=insert, counts=counts)
    with pytest.raises(ConnectionError):
        shipper.ship()
    assert (len(table.rows), counts.shipped, counts.refused, counts.corrupt, counts.waiting) == (
        2,
        0,
        0,
        0,
        5,
    )
    shipper.ship()
    assert (counts.shipped, counts.refused, counts.corrupt, counts.waiting) == (3, 1, 1, 0)
    assert (tmp_path / REFUSED).read_bytes().count(b"\n") == 1
    assert (tmp_path / CORRUPT).read_bytes() == b"rubbish\n"


def test_a_line_that_is_no_json_is_refused_alone(tmp_path: Path) -> None:
    table = Table()
    foreign = b"nope"
    line = b"%08x %b\n" % (zlib.crc32(foreign), foreign)
    (tmp_path / "0-1.jsonl").write_bytes(
        encode_rows([row(1), row(2)]) + line + encode_rows([row(3)])
    )
    _, shipper, counts = opened(tmp_path, table)
    shipper.ship()
    assert (table.rows.keys(), counts.refused, counts.waiting) == (requests(range(1, 4)), 1, 0)
    assert (tmp_path / REFUSED).read_bytes() == b"nope\n"


def test_a_backlog_of_many_batches_is_shipped_in_one_turn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shipper_module, "BATCH_BYTES", 5000)
    table = Table()
    journal, shipper, counts = opened(tmp_path, table)
    journal.append([row(number) for number in range(300)])  # lines longer than a batch
    shipper.ship()
    assert (len(table.rows), counts.waiting, table.calls) == (300, 0, 5)


def test_of_two_shippers_one_ships_and_a_live_segment_stays(tmp_path: Path) -> None:
    first_table = Table()
    second_table = Table()
    first, first_shipper, _ = opened(tmp_path, first_table)
    second, second_shipper, _ = opened(tmp_path, second_table)
    first.append([row(1)])
    second.append([row(2)])
    first_shipper.ship()
    second_shipper.ship()
    assert (first_table.rows.keys(), second_table.rows.keys()) == (requests(range(1, 3)), set())
    assert len(segments(tmp_path)) == 2
