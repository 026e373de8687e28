"""The last page of the demo."""

from __future__ import annotations

from pathlib import Path

from core.settings import load_settings
from operations.demo.summary import summary_lines, write_summary


def test_the_demo_ends_by_naming_the_console_before_the_other_programs(tmp_path: Path) -> None:
    settings = load_settings(home=tmp_path / "home", repository=tmp_path)
    summary = write_summary(settings, scale="small", parts=[], figures={"answers": 3})
    addresses = [line for line in summary_lines(summary) if "http://" in line]
    assert len(addresses) == 5
    assert "console (start here)" in addresses[0] and settings.console_url in addresses[0]
