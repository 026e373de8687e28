"""Facts as lines of whole words."""

from __future__ import annotations

import pytest

from cli import lines as module
from cli.lines import fact_lines

TEXT = "no statistic of the newest window of 2,000 answers is beyond its limit"


@pytest.mark.parametrize("width", [40, 60, 80])
def test_a_long_text_is_wrapped_at_whole_words_below_its_name(
    width: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "screen_width", lambda: width)
    lines = list(fact_lines([("drift", TEXT)]))
    assert max(map(len, lines)) <= width
    assert lines[0].startswith("  drift     no ")
    assert {line[:12] for line in lines[1:]} == {" " * 12}
    assert " ".join(" ".join(lines).split()) == f"drift {TEXT}"


def test_elsewhere_a_fact_is_one_line() -> None:
    assert list(fact_lines([("drift", TEXT), ("", "more")])) == [
        f"  drift     {TEXT}",
        "            more",
    ]
