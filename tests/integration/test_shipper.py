"""The shipper on a real PostgreSQL: rows it refuses are found, kept for people, and block none."""

from __future__ import annotations

import zlib
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Engine

from bentos.inference_log.journal import JournalCounts, encode_rows
from bentos.inference_log.shipper import REFUSED, Shipper, insert_into
from core.tables.loop import inference
from tests.support.inferences import row

UNREADABLE = {
    "not JSON": b"nope",
    "half a surrogate": row(9).replace(b"Phrase 9", b"Phrase \\ud800"),
}
REFUSED_ROWS = {
    "not UTF-8": b'{"request_id":"\xff"}',
    "a NUL": row(9).replace(b"Phrase 9", b"Phrase \\u0000"),
    "no key": b'{"request_id":null}',
}


@pytest.mark.parametrize(
    "content", [*UNREADABLE.values(), *REFUSED_ROWS.values()], ids=[*UNREADABLE, *REFUSED_ROWS]
)
def test_a_line_that_the_database_refuses_holds_nobody_up(
    content: bytes, engine: Engine, tmp_path: Path
) -> None:
    line = b"%08x %b\n" % (zlib.crc32(content), content)
    counts = ship(
        encode_rows([row(1), row(2)]) + line + encode_rows([row(3), row(4)]),
        engine=engine,
        folder=tmp_path,
    )
    assert (logged(engine), counts.shipped) == (
        {"request-1", "request-2", "request-3", "request-4"},
        4,
    )
    assert (tmp_path / REFUSED).read_bytes() == content + b"\n"


@pytest.mark.parametrize("content", REFUSED_ROWS.values(), ids=list(REFUSED_ROWS))
def test_a_row_that_the_database_refuses_costs_its_line_no_other(
    content: bytes, engine: Engine, tmp_path: Path
) -> None:
    counts = ship(encode_rows([row(1), content, row(2)]), engine=engine, folder=tmp_path)
    assert (logged(engine), counts.shipped, counts.refused) == ({"request-1", "request-2"}, 2, 1)
    assert (tmp_path / REFUSED).read_bytes() == content + b"\n"


def test_rows_of_an_earlier_release_ship_without_saying_whether_they_were_refused(
    engine: Engine, tmp_path: Path
) -> None:
    older = row(1).replace(b',"abstained":null', b"")
    assert b"abstained" not in older
    rows = [older, row(2, abstained=True), row(3, abstained=False)]
    assert ship(encode_rows(rows), engine=engine, folder=tmp_path).shipped == 3
    query = sa.select(inference.c.abstained).order_by(inference.c.request_id)
    with engine.connect() as connection:
        assert list(connection.scalars(query)) == [None, True, False]


def ship(lines: bytes, *, engine: Engine, folder: Path) -> JournalCounts:
    (folder / "0-1.jsonl").write_bytes(lines)
    counts = JournalCounts()
    Shipper(folder, insert=insert_into(engine), counts=counts).ship()
    return counts


def logged(engine: Engine) -> set[str]:
    with engine.connect() as connection:
        return set(connection.scalars(sa.select(inference.c.request_id)))
