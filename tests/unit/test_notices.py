"""What the machine lacks."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.settings import load_settings
from flows.notices import MEGABYTE, machine_notices


@pytest.mark.parametrize(
    ("name", "grows"),
    [
        ("journal/0-1.jsonl", True),
        ("journal-2/feedback/waiting/0-1.jsonl", True),
        ("journal/feedback/refused-rows.txt", False),
        ("journal/corrupt-lines.txt", False),
    ],
)
def test_only_rows_that_wait_make_the_journal_grow(
    tmp_home: Path, name: str, *, grows: bool
) -> None:
    file = tmp_home / name
    file.parent.mkdir(parents=True)
    file.write_bytes(b"x" * 5 * MEGABYTE)
    settings = load_settings(home=tmp_home, journal_mb=16)
    assert (machine_notices(settings)["journal"] is not None) == grows
