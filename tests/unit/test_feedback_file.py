"""Lines of feedback files, without a database."""

from __future__ import annotations

from operator import attrgetter
from pathlib import Path

import pytest

from core.errors import InvalidFeedback
from core.feedback import FeedbackRow
from monitoring.labels.feedback_file import Refusal, read_feedback_file


def test_a_time_before_all_time_is_one_refused_row(tmp_path: Path) -> None:
    rows = ["a,b,c,0001-01-01T00:00:00+14:00", "d,e,f,2026-01-01"]
    (tmp_path / "late.csv").write_text("\n".join(["request_id,label,author,received_at", *rows]))
    refused, row = read_feedback_file(tmp_path / "late.csv")
    assert isinstance(refused, Refusal) and (refused.row, "ISO 8601" in refused.reason) == (2, True)
    assert isinstance(row, FeedbackRow) and row.request_id == "d"


def test_a_file_whose_first_line_never_ends_is_refused_whole(tmp_path: Path) -> None:
    (tmp_path / "late.csv").write_bytes(b"x" * 200_000)
    with pytest.raises(InvalidFeedback, match="a header in line 1"):
        list(read_feedback_file(tmp_path / "late.csv"))


HEADER = "request_id,label,author"


@pytest.mark.parametrize(
    ("lines", "good", "line", "reason"),
    [
        (["a,x,ada", 'b,"x,ada', "c,x,bob", "d,y,cy"], "acd", 3, "a quote is not closed"),
        (
            ["a,x,ada", 'b,x,"ada', "c,x,bob", 'd,y,cy"'],
            "acd",
            3,
            "author: expected one value, got several lines",
        ),
        (["a,x,ada", 'b,"x,ada', 'c,"x",bob', "d,y,cy"], "acd", 3, "a quote is not closed, or"),
        (["a,x,ada", 'b,x,"a"da', "c,x,bob"], "ac", 3, "a quote in a value is not doubled"),
        (["a,x,ada", "b,x,ada,too", "c,x,bob"], "ac", 3, "expected 3 values"),
        (["a,x,ada", "b;x;ada", "c,x,bob"], "ac", 3, "label: expected a text that is not empty"),
        (["a,x,ada", "b,x,ad\udcff", "c,x,bob"], "ac", 3, "author: expected UTF-8"),
    ],
)
def test_a_damaged_row_costs_no_other(
    tmp_path: Path, lines: list[str], good: str, line: int, reason: str
) -> None:
    text = "\n".join([HEADER, *lines])
    (tmp_path / "late.csv").write_bytes(text.encode("utf-8", "surrogateescape"))
    rows = list(read_feedback_file(tmp_path / "late.csv"))
    assert [row.request_id for row in rows if isinstance(row, FeedbackRow)] == list(good)
    [refusal] = [row for row in rows if isinstance(row, Refusal)]
    assert refusal.row == line and reason in refusal.reason


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_what_spreadsheets_save_is_read(tmp_path: Path, encoding: str, delimiter: str) -> None:
    lines = [HEADER, 'a,"x, ""y""",Jürgen', "", "b,x , ada"]
    if delimiter != ",":
        lines = [HEADER.replace(",", delimiter), f'a{delimiter}"x, ""y"""{delimiter}Jürgen']
        lines += ["", delimiter.join(["b", "x ", " ada"])]
    (tmp_path / "late.csv").write_bytes("\r\n".join(lines).encode(encoding))
    rows = list(read_feedback_file(tmp_path / "late.csv"))
    fields = attrgetter("request_id", "label", "author")
    assert [fields(row) for row in rows] == [
        ("a", 'x, "y"', "Jürgen"),
        ("b", "x", "ada"),
    ]


def test_a_label_of_two_lines_is_a_label(tmp_path: Path) -> None:
    (tmp_path / "late.csv").write_text(f'{HEADER}\na,"one\ntwo",ada\nb,x,ada')
    first, second = read_feedback_file(tmp_path / "late.csv")
    assert isinstance(first, FeedbackRow) and (first.row, first.label) == (2, "one\ntwo")
    assert isinstance(second, FeedbackRow) and second.row == 4


@pytest.mark.parametrize(
    ("content", "came"),
    [
        (b"request_id,label,author,label\na,x,ada,y", "label more than once"),
        (b"request_id,label,author,kind,kind\na,x,ada,,", "kind more than once"),
        ("request_id,label,author\na,x,ada".encode("utf-16-le"), "UTF-16 without a byte order"),
        (b"request_id,author\na,ada", "without label"),
    ],
)
def test_a_header_that_does_not_fit_is_named(tmp_path: Path, content: bytes, came: str) -> None:
    (tmp_path / "late.csv").write_bytes(content)
    with pytest.raises(InvalidFeedback, match=came):
        list(read_feedback_file(tmp_path / "late.csv"))


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ('"label": 1', "label: expected a text, got 1"),
        ('"label": true', "label: expected a text, got true"),
        ('"label": ["x"]', 'label: expected a text, got ["x"]'),
        ('"label": null', "label: expected a text that is not empty"),
        ('"label": "x", "label": "y"', "expected JSON; label more than once"),
    ],
)
def test_a_json_value_of_another_kind_is_named(tmp_path: Path, fields: str, reason: str) -> None:
    line = f'{{"request_id": "a", "author": "ada", {fields}}}'
    (tmp_path / "late.jsonl").write_text(line)
    assert list(read_feedback_file(tmp_path / "late.jsonl")) == [Refusal(1, reason)]


def rows_of(folder: Path, *lines: str) -> list[FeedbackRow | Refusal]:
    header = "request_id,label,author,kind,probability"
    (folder / "late.csv").write_text("\n".join([header, *lines]))
    return list(read_feedback_file(folder / "late.csv"))


def test_a_row_says_why_somebody_looked(tmp_path: Path) -> None:
    correction, sample, silent = rows_of(
        tmp_path, "a,x,ada,correction,", "b,x,ada,sample,0.05", "c,x,ada,,"
    )
    fields = attrgetter("kind", "probability")
    assert [fields(row) for row in (correction, sample, silent)] == [
        ("correction", None),
        ("sample", 0.05),
        ("unknown", None),
    ]


@pytest.mark.parametrize(
    ("kind", "probability", "reason"),
    [
        ("guess", "", "kind: expected one of correction"),
        ("sample", "", "probability: expected the probability that"),
        ("sample", "0", "probability: expected a number in (0, 1]"),
        ("sample", "1.5", "probability: expected a number in (0, 1]"),
        ("sample", "nan", "probability: expected a number in (0, 1]"),
        ("sample", "often", "probability: "),
        ("correction", "0.5", "probability: expected none"),
    ],
)
def test_a_kind_without_sense_is_refused(
    tmp_path: Path, kind: str, probability: str, reason: str
) -> None:
    [refused] = rows_of(tmp_path, f"a,x,ada,{kind},{probability}")
    assert isinstance(refused, Refusal) and refused.reason.startswith(reason)
