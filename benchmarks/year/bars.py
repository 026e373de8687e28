"""The bars of the simulated year, and what limits those that are not reached: pure."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from typing import Any

from benchmarks.harness import Bar
from operations.simulation.figures import IN_TIME, Notes
from operations.simulation.observer import PASTS

DEFAULT = "default"
TODAY = "weekly"


def make_bars(figures: Mapping[str, Any], notes: Notes) -> list[Bar]:
    """One bar for each row of the table; a figure that no policy of these gives is not measured."""
    own = figures.get(DEFAULT)
    if own is None:
        return []
    probes = own["probes"]
    bars = [
        Bar("corrected phrases right after a day", _share(probes, "corrections_day"), 0.98, True),
        Bar("of these, without a long, agreeing past", _without_long_past(probes), 0.98, True),
        Bar("new rule right after 3 agreeing labels", _share(probes, "rule_3"), 0.80, True),
        Bar("new rule right after 5 agreeing labels", _share(probes, "rule_5"), 0.95, True),
        Bar("one wrong label flips a long past", _share(probes, "mistakes"), 0.01),
        Bar("two labels: accuracy lost", own["two_labels_lost"][0], 0.02),
        Bar("calm traffic: weighted F1 lost against weekly", _calm_loss(figures), 0.001),
        Bar("days to win back 80 % from the first true label (median)", _days(own), IN_TIME),
        Bar(
            "days to win back 80 % from a label of 80 % of its traffic (median)",
            _days(own, "after_most_labels"),
            IN_TIME,
        ),
        Bar("days until a large event is called (median)", own["drift"]["median_days"], 21),
        Bar("retrainings for the broken client", own["drift"]["broken_client_retrainings"], 0),
        Bar(
            "windows until the broken client is named",
            own["drift"]["windows_until_broken_client"],
            2,
        ),
        Bar("drift without an event, per calm year", _false_calls(notes), 0.5),
        Bar("promoted fits truly worse by .005", own["fits"]["promoted_worse"], 1),
        Bar("loss against the bound / that of weekly", _loss_ratio(figures), 0.5),
    ]
    return bars


def _share(probes: Mapping[str, list[int]], name: str) -> float | None:
    right, count = probes.get(name, [0, 0])
    return right / count if count else None


def _calm_loss(figures: Mapping[str, Any]) -> float | None:
    if TODAY not in figures:
        return None
    today: float = figures[TODAY]["calm_weighted_f1"][0]
    own: float = figures[DEFAULT]["calm_weighted_f1"][0]
    return today - own


def _without_long_past(probes: Mapping[str, list[int]]) -> float | None:
    counts = [probes.get(past, [0, 0]) for past in PASTS if past != "corrections_long"]
    total = sum(count[1] for count in counts)
    return sum(count[0] for count in counts) / total if total else None


def _days(own: Mapping[str, Any], since: str = "after_labels") -> float | None:
    """An event that was not won back counts with all days that were seen of it."""
    days = [event[since] for event in own["events"] if event[since] is not None]
    return statistics.median(days) if days else None


def _false_calls(notes: Notes) -> float | None:
    """Of calm years only: in others nobody can say what a call answered."""
    runs = list(notes[DEFAULT].values())
    if any(run["calendar"] for run in runs):
        return None
    calls = sum(kind == "drift" for run in runs for _, kind, _ in run["watched"])
    years = sum(len(run["f1"]) for run in runs) / 365
    return calls / years if years else None


def _loss_ratio(figures: Mapping[str, Any]) -> float | None:
    losses = [figures.get(policy, {}).get("loss", [None])[0] for policy in (DEFAULT, TODAY)]
    if None in losses or not losses[1]:
        return None
    return float(losses[0] / losses[1])
