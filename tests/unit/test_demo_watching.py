from __future__ import annotations

from core.contracts import Verdict
from operations.demo.watching import describe_watch


def verdict(kind: str, *kinds: str, reasons: tuple[str, ...]) -> Verdict:
    return Verdict(kind, reasons, {"windows": [{"verdict": found} for found in kinds]})


def test_the_newest_window_of_the_verdicts_kind_stands_for_all() -> None:
    watched = verdict("drift", "drift", "drift", "steady", reasons=("first", "second", "third"))
    assert describe_watch(watched) == "drift: second; 2 other windows"


def test_windows_before_the_shown_ones_are_counted_only() -> None:
    watched = verdict("drift", "drift", "steady", "steady", reasons=("second", "third"))
    assert describe_watch(watched) == "drift: third; 2 other windows"


def test_one_window_has_no_others() -> None:
    assert describe_watch(verdict("steady", "steady", reasons=("calm",))) == "steady: calm"
