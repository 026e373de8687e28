"""Tables on a screen of 80 columns: whole words, and nothing lost."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from cli.tables import table_lines

SENTENCE = (
    "6 windows of 600 answers could not be judged: 0 rows to compare with; "
    "6 windows of 100 are needed"
)
ROWS = [
    ["classifier", "verdict", "reasons"],
    ["block", "insufficient", SENTENCE],
    ["chapter", "steady", "as before"],
]


def test_a_table_fits_80_columns_and_breaks_no_word() -> None:
    lines = list(table_lines(ROWS, width=80))
    assert max(map(len, lines)) <= 80
    assert lines[1].startswith("block       insufficient  6 windows of 600 answers")
    assert lines[2].startswith(" " * 26)
    assert " ".join(lines).split() == [
        word for row in ROWS for cell in row for word in cell.split()
    ]


def test_a_file_gets_one_line_per_row() -> None:
    lines = list(table_lines(ROWS, width=None))
    assert len(lines) == len(ROWS)
    assert lines[1] == f"block       insufficient  {SENTENCE}"


def test_an_address_stays_whole_on_a_narrow_screen() -> None:
    address = "http://127.0.0.1:4200/runs/flow-run/0198c1f2-6d0e-7c31-9f3e-2b1f6f0c8a55"
    lines = list(table_lines([["name", "address"], ["prefect", address]], width=20))
    assert any(address in line for line in lines)


WORDS = st.text(st.characters(codec="ascii", categories=["L", "N"]), min_size=1, max_size=12)
CELLS = st.lists(WORDS, max_size=12).map(" ".join)


@given(
    st.lists(st.tuples(CELLS, CELLS, CELLS), min_size=1, max_size=5),
    st.integers(min_value=40, max_value=120),
)
def test_every_word_is_shown_once_within_the_width(
    rows: list[tuple[str, str, str]], width: int
) -> None:
    lines = list(table_lines(rows, width=width))
    assert max(map(len, lines)) <= width
    shown = sorted(" ".join(lines).split())
    assert shown == sorted(word for row in rows for cell in row for word in cell.split())
