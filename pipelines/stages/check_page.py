"""The page of the data checks: one file, readable offline."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pipelines.checks import MAX_EXAMPLES, Check, judge
from pipelines.page_templates import page_environment

_TITLES = {
    "column_present": "The column is present",
    "fresh": "The newest source row is recent",
    "volume": "As many rows as last time, nearly",
    "ids_unique": "Every id occurs once",
    "duplicates_share": "Repeated phrases, share of rows",
    "time_has_come": "Left out: rows whose time is after the snapshot's moment",
    "time_without_zone": "Times without a zone, taken as UTC",
    "label_trimmed": "Labels with blanks around them, which were trimmed",
    "usable": "Left out: rows with nothing to learn from, share of rows",
    "phrase_answerable": "No phrase longer than the service answers",
    "not_null": "No row without a value",
    "not_blank": "No blank value",
    "phrase_length": "No phrase too long",
    "garbage_characters": "No control or replacement characters",
    "garbage_share": "Control or replacement characters, share of rows",
    "label_known": "Every label was there last time",
    "unknown_label_share": "Labels not there last time, share of rows",
    "label_has_rows": "Every label has enough rows to learn from",
    "line_has_rows": "The line of versions has rows to learn from",
    "row_has_line": "Every row has a line that learns from it",
    "one_label_a_phrase": "The same phrase under another label, share of rows",
}
_WORDS = {
    "pass": "Every check passed",
    "warn": "Usable, with warnings",
    "fail": "Stopped: a critical check failed",
}
_MOMENT = re.compile(r"^(\d{4}-\d\d-\d\d)T(\d\d:\d\d:\d\d)(?:\.\d+)?\+00:00$")
_UNSEEN = re.compile(r"[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\ufeff\ufffd]")


def render_page(checks: Sequence[Check], facts: Sequence[Mapping[str, Any]]) -> str:
    """Return the page as HTML.

    `facts` holds the snapshot.json of each dataset, in the order of the page.
    """
    environment = page_environment(Path(__file__).parent)
    environment.filters |= {"number": _number, "visible": _visible}
    datasets = [
        (fact, _failures_first(check for check in checks if check.dataset == fact["dataset"]))
        for fact in facts
    ]
    counts = {
        state: sum(_state(check) == state for check in checks)
        for state in ("critical", "warning", "passed")
    }
    verdict = judge(checks)
    return environment.get_template("check_page.html").render(
        verdict=verdict,
        words=_WORDS[verdict],
        counts=counts,
        datasets=datasets,
        titles=_TITLES,
        state=_state,
        most=MAX_EXAMPLES,
    )


def _state(check: Check) -> str:
    return "passed" if check.passed else check.severity


def _failures_first(checks: Iterable[Check]) -> list[Check]:
    return sorted(checks, key=lambda check: ("critical", "warning", "passed").index(_state(check)))


def _number(value: Any) -> str:
    if isinstance(value, float):
        return "below 0.01%" if 0 < value < 1e-4 else f"{100 * value:.3g}%"
    if isinstance(value, int):
        return f"{value:,}"
    return "" if value is None else _MOMENT.sub(r"\1 \2 UTC", str(value))


def _visible(value: Any) -> str:
    """Show what cannot be seen: control characters as their escapes, null as a word."""
    if value is None:
        return "null"
    return _UNSEEN.sub(lambda match: match.group(0).encode("unicode_escape").decode(), str(value))
