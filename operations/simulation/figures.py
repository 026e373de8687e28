"""From the oracle's notes to figures: pure."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from operations.simulation.events import WON_BACK

Notes = Mapping[str, Mapping[int, Mapping[str, Any]]]
"""Policy -> seed -> notes of a run."""
BOUND = "bound"
LATE_DAYS = 30
IN_TIME = 10
"""Days from the true labels within which an event is to be won back."""
LEAST_LOSS = 0.02
"""An event that costs its own traffic less has nothing to win back."""
WORSE = 0.005
WINDOW_DAYS = 7
"""A drift is dated by the start of the window that shows it."""
CALLED_WITHIN = 60
"""Days after its beginning or end within which a call of drift answers an event."""


def summarise(notes: Notes) -> dict[str, Any]:
    """Return policy -> figures, each with mean and half of its 95 % interval over the seeds."""
    return {policy: _policy(policy, notes) for policy in notes}


def _policy(policy: str, notes: Notes) -> dict[str, Any]:
    runs = notes[policy]
    return {
        "weighted_f1": interval([_mean(run["f1"]) for run in runs.values()]),
        "calm_weighted_f1": interval([_mean(run["calm_f1"]) for run in runs.values()]),
        "two_labels_lost": interval([_mean(run["two_labels_lost"]) for run in runs.values()]),
        "loss": interval(losses(policy, notes)),
        "cpu_seconds": interval([run["cpu_seconds"] for run in runs.values()]),
        "wall_seconds": interval([run["wall_seconds"] for run in runs.values()]),
        "labels": interval([float(sum(run["labels"].values())) for run in runs.values()]),
        "probes": _probes(runs.values()),
        "fits": count_fits(runs.values()),
        "drift": _drift(runs.values()),
        "events": event_figures(policy, notes),
    }


def _mean(values: Sequence[float]) -> float:
    return float(np.nanmean(np.array(values, float)))


def interval(values: Sequence[float]) -> list[float | None]:
    """Mean, and half the width of its 95 % interval (Student's t); None for a single value."""
    from scipy.stats import t

    if not values:
        return [None, None]
    mean = statistics.fmean(values)
    if len(values) < 2:
        return [round(mean, 5), None]
    width = t.ppf(0.975, len(values) - 1) * statistics.stdev(values) / len(values) ** 0.5
    return [round(mean, 5), round(float(width), 5)]


def losses(policy: str, notes: Notes) -> list[float]:
    """The bound's mean weighted F1 less the policy's, by seed."""
    bound = notes.get(BOUND, {})
    return [
        _mean(bound[seed]["f1"]) - _mean(run["f1"])
        for seed, run in notes[policy].items()
        if seed in bound
    ]


def _probes(runs: Any) -> dict[str, list[int]]:
    totals: dict[str, list[int]] = {}
    for run in runs:
        for name, (right, count) in run["probes"].items():
            total = totals.setdefault(name, [0, 0])
            total[0] += right
            total[1] += count
    return totals


def count_fits(runs: Any) -> dict[str, int]:
    """Retrainings of the year (the first fit is not one), and what became of them."""
    fits = [fit for run in runs for fit in run["fits"] if fit["gain"] is not None]
    promoted = [fit for fit in fits if fit["promoted"]]
    kinds = sorted({fit["kind"] for fit in fits})
    counts = {kind: sum(fit["kind"] == kind for fit in fits) for kind in kinds}
    worse = sum(fit["gain"] <= -WORSE for fit in promoted)
    lost = sum(fit["gain"] >= WORSE for fit in fits if not fit["promoted"])
    return {"retrainings": len(fits), **counts, "promoted_worse": worse, "better_kept_out": lost}


def _drift(runs: Any) -> dict[str, Any]:
    """Calls of drift without an event, and events of the inputs that nobody called."""
    called = false = missed = showing = broken = 0
    delays: list[int] = []
    named: list[int] = []

    for run in runs:
        named += [windows_until_named(run, event) for event in run["calendar"] if _is_broken(event)]
        days = [day for day, kind, _ in run["watched"] if kind in ("drift", "needs_labels")]
        moments = [day for event in run["calendar"] for day in _moments(event)]
        called += len(days)
        false += sum(not any(0 <= day - at < CALLED_WITHIN for at in moments) for day in days)
        broken += sum(answers_broken(fit, run["calendar"]) for fit in run["fits"])

        for event in run["calendar"]:
            if event["kind"] in ("names", "season", "topic") and event["size"] >= 0.1:
                showing += 1
                delay = _delay(days, event["first"])
                missed += delay is None
                delays.append(CALLED_WITHIN if delay is None else delay)

    median = statistics.median(delays) if delays else None
    return {
        "called": called,
        "without_event": false,
        "large_events": showing,
        "large_events_missed": missed,
        "median_days": median,
        "broken_client_retrainings": broken,
        "windows_until_broken_client": max(named, default=None),
    }


def _is_broken(event: Mapping[str, Any]) -> bool:
    return bool(event["kind"] == "broken")


def windows_until_named(run: Mapping[str, Any], event: Mapping[str, Any]) -> int:
    """Watches with a verdict since the broken client began, up to the one that names it, or all."""
    named = [names_client for day, _, names_client in run["watched"] if day >= event["first"]]
    return named.index(True) + 1 if True in named else len(named)


def _moments(event: Mapping[str, Any]) -> list[int]:
    shows = event["kind"] in ("names", "season", "topic", "broken")
    return [event["first"], event["last"]] if shows else []


def _delay(days: Sequence[int], first: int) -> int | None:
    later = [day - first for day in days if 0 <= day - first < CALLED_WITHIN]
    return min(later, default=None)


def answers_broken(fit: Mapping[str, Any], calendar: Sequence[Mapping[str, Any]]) -> bool:
    """A retraining within three weeks of the broken client, for a drift that began with it.

    The drift of an earlier event can be called in these weeks, when its labels have come.
    """
    broken = [event["first"] for event in calendar if event["kind"] == "broken"]
    began = fit.get("began")
    near = any(
        0 <= fit["day"] - first <= 21 and (began is None or began >= first - WINDOW_DAYS)
        for first in broken
    )
    return near and str(fit["reason"]).startswith("drift")


def event_figures(policy: str, notes: Notes) -> list[dict[str, Any]]:
    """Per event of each seed: its loss in the first days, and when most of it was won back."""
    return [
        {"seed": seed, **_event(number, event, run, notes.get(BOUND, {}).get(seed))}
        for seed, run in notes[policy].items()
        for number, event in enumerate(run["calendar"])
        if event["kind"] not in ("silence", "broken")
    ]


def _event(
    number: int, event: Mapping[str, Any], run: Mapping[str, Any], bound: Mapping[str, Any] | None
) -> dict[str, Any]:
    errors = _errors(run, number)
    floor = min(_errors(bound, number).values(), default=0.0) if bound else 0.0
    first = event["first"]
    start = errors.get(first)
    labelled = event.get("labelled")

    per_event = {
        "kind": event["kind"],
        "size": event["size"],
        "first_error": start,
        "floor": floor,
        "most_labels_after": None if labelled is None else labelled - first - LATE_DAYS,
    }
    if start is None or start - floor < LEAST_LOSS:
        return {
            **per_event,
            "loss": 0.0,
            "days": None,
            "after_labels": None,
            "after_most_labels": None,
            "censored": False,
        }
    limit = floor + (1 - WON_BACK) * (start - floor)
    days = next((day - first for day in sorted(errors) if errors[day] <= limit), None)
    mean_loss = _mean([error - floor for error in errors.values()])
    observed = max(errors) - first
    reached = days if days is not None else observed
    return {
        **per_event,
        "loss": round(mean_loss, 4),
        "days": days,
        "after_labels": _after(LATE_DAYS, reached, censored=days is None),
        "after_most_labels": None
        if labelled is None
        else _after(labelled - first, reached, censored=days is None),
        "censored": days is None,
    }


def _after(labelled: int, reached: int, *, censored: bool) -> int | None:
    """Days from the labels until an event was won back, or all that were seen of it.

    None where so few were seen that nobody can say whether it is late.
    """
    days = reached - labelled
    return None if censored and days <= IN_TIME else max(0, days)


def _errors(run: Mapping[str, Any], number: int) -> dict[int, float]:
    return {int(day): error for day, error in run["events"][str(number)].items()}
