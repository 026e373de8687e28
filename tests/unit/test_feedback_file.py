"""Lines of feedback files, without a database."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.errors import InvalidFeedback
from core.feedback import FeedbackRow
from monitoring.feedback_file import Refusal, read_feedback_file


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


def rows_of(folder: Path, *lines: str) -> list[FeedbackRow | Refusal]:
    header = "request_id,label,author,kind,probability"
    (folder / "late.csv").write_text("\n".join([header, *lines]))
    return list(read_feedback_file(folder / "late.csv"))


def test_a_row_says_why_somebody_looked(tmp_path: Path) -> None:
    correction, sample, silent = rows_of(
        tmp_path, "a,x,ada,correction,", "b,x,ada,sample,0.05", "c,x,ada,,"
    )
    assert [(row.kind, row.probability) for row in (correction, sample, silent)] == [  # type: ignore[union-attr]  # all are rows
        ("correction", None),
        ("sample", 0.05),
        ("unknown", None),
    ]


@pytest.mark.parametrize(
    ("kind", "probability", "reason"),
    [
        ("guess", "", "kind: wanted one of correction"),
        ("sample", "", "probability: wanted how likely"),
        ("sample", "0", "probability: wanted a number in (0, 1]"),
        ("sample", "1.5", "probability: wanted a number in (0, 1]"),
        ("sample", "nan", "probability: wanted a number in (0, 1]"),
        ("sample", "often", "probability: "),
        ("correction", "0.5", "probability: wanted none"),
    ],
)
def test_a_kind_without_sense_is_refused(
    tmp_path: Path, kind: str, probability: str, reason: str
) -> None:
    [refused] = rows_of(tmp_path, f"a,x,ada,{kind},{probability}")
    assert isinstance(refused, Refusal) and refused.reason.startswith(reason)
