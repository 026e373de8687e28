"""When `history_days: auto` is chosen anew, and what a choice is: pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from core.contracts import Verdict
from core.params.schema import DEFAULT_HISTORY_DAYS, ClassifierParams

SUBJECT = "history"
"""The subject of these decisions in the table `decision`."""
RENEW_DAYS = 90
"""A choice, or an attempt at one, is valid for this long: a fit per year of data is expensive."""
RENEW_ROWS = 0.25
"""Or until the snapshot has so many rows more or fewer, as a share."""


@dataclass(frozen=True)
class LastChoice:
    """The newest decision about the window, chosen or kept."""

    days: int
    decided_at: datetime
    rows: int
    recipe: Mapping[str, Any]
    reason: str

    @classmethod
    def of(cls, verdict: Verdict, decided_at: datetime) -> LastChoice:
        evidence = verdict.evidence
        return cls(
            int(evidence["history_days"]),
            decided_at,
            int(evidence["rows"]),
            evidence["recipe"],
            verdict.reasons[0],
        )


def recipe_of(block: ClassifierParams) -> dict[str, Any]:
    """Return the keys of a block on which a choice depends.

    The budget is one of them: raised after a comparison that did not end, it calls for another.
    """
    keys = {"source", "head", "favour", "test_days", "min_rows_per_label", "history_budget_seconds"}
    return block.model_dump(mode="json", include=keys)


def why_stale(
    last: LastChoice | None, *, now: datetime, rows: int, recipe: Mapping[str, Any]
) -> str:
    """Return why the window is chosen now, in one clause; "" while the last choice is good."""
    if last is None:
        return "no window was chosen before"
    if last.recipe != recipe:
        return "the classifier's block has changed"
    if now - last.decided_at >= timedelta(days=RENEW_DAYS):
        return f"the last choice is {RENEW_DAYS} days old"
    if abs(rows - last.rows) > RENEW_ROWS * last.rows:
        return f"the snapshot has {rows:,} rows, at the last choice {last.rows:,}"
    return ""


def describe_saving(window: Mapping[str, Any], longest: Mapping[str, Any]) -> str:
    """Return in one clause what fitting a window costs beside the longest one."""
    if window["days"] == longest["days"]:
        return "every shorter window is worse"
    saved = round(longest["seconds"] - window["seconds"])
    if saved < 1:
        return f"a fit takes as long as with {longest['days']} days"
    seconds = "CPU second" if saved == 1 else "CPU seconds"
    return f"a fit takes {saved} {seconds} less than with {longest['days']} days"


def chosen(
    figures: Mapping[str, Any], *, why: str, rows: int, recipe: Mapping[str, Any]
) -> Verdict:
    """Return the verdict "chosen" of a comparison, as history.json holds it."""
    windows = list(figures["windows"])
    days = int(figures["recommended"])
    own = next(window for window in windows if window["days"] == days)
    sentence = (
        f"{days} days of history, the shortest window that is not worse: weighted F1 "
        f"{own['weighted_f1']:.4f}, at most {own['behind_at_most']:.4f} behind the best of "
        f"{len(windows)}; {describe_saving(own, windows[-1])}"
    )
    if len(windows) == 1:
        sentence = f"{days} days of history: the data go no further back"
    evidence = {
        "history_days": days,
        "rows": rows,
        "recipe": dict(recipe),
        "why_now": why,
        "windows": windows,
        "seconds_saved": round(max(windows[-1]["seconds"] - own["seconds"], 0.0), 1),
    }
    return Verdict("chosen", (sentence,), evidence)


def kept(
    last: LastChoice | None, *, problem: str, why: str, rows: int, recipe: Mapping[str, Any]
) -> Verdict:
    """Return the verdict "kept" of a comparison that did not end: the last choice stays.

    Unless `test_days` has grown to it: no row would be left to train on. The default is longer than
    the `test_days` of every block with `auto`.
    """
    days = last.days if last else DEFAULT_HISTORY_DAYS
    whose = "the last choice" if last else "the default, as nothing was chosen before"
    test_days = int(recipe["test_days"])
    if days <= test_days:
        whose = (
            f"the default, as the last choice of {days} has no day before the {test_days} of test"
        )
        days = DEFAULT_HISTORY_DAYS
    sentence = f"{days} days of history, {whose}: {problem}"
    evidence = {"history_days": days, "rows": rows, "recipe": dict(recipe), "why_now": why}
    return Verdict("kept", (sentence,), evidence)


def still_good(last: LastChoice) -> Verdict:
    """Return the verdict "current": nothing is decided anew."""
    sentence = f"{last.reason} (decided on {last.decided_at:%Y-%m-%d})"
    return Verdict("current", (sentence,), {"history_days": last.days})
