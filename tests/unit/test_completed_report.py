"""An error report that cannot be completed leaves that of the stage, and stops nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from core.files import write_json
from flows.candidates.error_report import STAGE, complete_report, report_folder
from pipelines.errors.files import PAGE, REPORT


def test_rows_that_cannot_be_read_leave_the_report_of_the_stage(tmp_path: Path) -> None:
    write_json(tmp_path / STAGE / REPORT, {"labels": []})
    (tmp_path / STAGE / PAGE).write_text("the page of the stage")
    complete_report(tmp_path, np.array(["bone"]), champion="3")  # there are no predictions
    assert report_folder(tmp_path) == tmp_path / STAGE
