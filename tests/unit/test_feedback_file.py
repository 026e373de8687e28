"""Lines of feedback files, without a database."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.errors import InvalidFeedback
from monitoring.feedback_file import FeedbackRow, Refusal, read_feedback_file


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
