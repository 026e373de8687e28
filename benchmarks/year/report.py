"""The figures as tables for people."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.harness import table


def tables_of(figures: Mapping[str, Any]) -> list[str]:
    """Policies side by side; what was learnt; fits and drift; events by kind and by size."""
    return [
        _overview(figures),
        _learnt(figures),
        _fits(figures),
        _drift(figures),
        _events(figures, "kind"),
        _events(figures, "size"),
        _labels(figures),
    ]


def _interval(value: Sequence[float | None], digits: int = 4) -> str:
    mean, width = value
    if mean is None:
        return "-"
    return f"{mean:.{digits}f}" if width is None else f"{mean:.{digits}f} ± {width:.{digits}f}"


def _overview(figures: Mapping[str, Any]) -> str:
    heads = (
        "policy", "weighted F1", "loss against the bound", "calm traffic", "two labels: lost",
        "labels", "CPU s", "wall s",
    )  # fmt: skip
    rows = [
        (
            policy,
            _interval(own["weighted_f1"]),
            _interval(own["loss"]),
            _interval(own["calm_weighted_f1"]),
            _interval(own["two_labels_lost"]),
            _interval(own["labels"], 0),
            _interval(own["cpu_seconds"], 0),
            _interval(own["wall_seconds"], 0),
        )
        for policy, own in figures.items()
    ]
    return table(heads, rows)


def _learnt(figures: Mapping[str, Any]) -> str:
    names = {
        "corrections_day": "corrections right after a day",
        "corrections_fresh": "of phrases without another label",
        "corrections_short": "with fewer than 10 labels",
        "corrections_mixed": "with several labels",
        "corrections_long": "with a long, agreeing past",
        "corrections_next": "after the next revision or retraining",
        "rule_3": "new rule after 3 labels",
        "rule_5": "after 5",
        "mistakes": "flipped by one wrong label",
    }
    rows = [
        (policy, *(_share(own["probes"].get(name, [0, 0])) for name in names))
        for policy, own in figures.items()
    ]
    return table(("policy", *names.values()), rows)


def _share(counts: Sequence[int]) -> str:
    right, count = counts
    return f"{100 * right / count:.1f} % of {count}" if count else "-"


def _fits(figures: Mapping[str, Any]) -> str:
    rows = []
    for policy, own in figures.items():
        fits = dict(own["fits"])
        counted = fits.pop("retrainings")
        worse = fits.pop("promoted_worse")
        better = fits.pop("better_kept_out")
        verdicts = ", ".join(f"{kind} {count}" for kind, count in fits.items()) or "-"
        rows.append((policy, counted, verdicts, worse, better))
    heads = ("policy", "retrainings", "verdicts", "promoted, truly worse", "better, kept out")
    return table(heads, rows)


def _drift(figures: Mapping[str, Any]) -> str:
    rows = [(policy, *own["drift"].values()) for policy, own in figures.items()]
    heads = (
        "policy", "drift called", "without an event", "events of 10 % or more in the inputs",
        "missed", "median days", "retrainings for the broken client", "windows until it is named",
    )  # fmt: skip
    return table(heads, rows)


def _events(figures: Mapping[str, Any], by: str) -> str:
    """Mean extra error of the events' own traffic, and median days to win back 80 %."""
    values = sorted({event[by] for own in figures.values() for event in own["events"]}, key=str)
    rows = [
        (policy, *(_event_cell([e for e in own["events"] if e[by] == value]) for value in values))
        for policy, own in figures.items()
    ]
    names = [f"{100 * value:.0f} %" if by == "size" else value for value in values]
    return table((f"extra error; days won back (by {by})", *names), rows)


def _labels(figures: Mapping[str, Any]) -> str:
    """When the labels of each event come, and when each policy wins it back, in days."""
    events = {
        (e["seed"], e["kind"], e["size"]): e for own in figures.values() for e in own["events"]
    }
    rows = [
        (
            seed,
            kind,
            f"{100 * size:.0f} %",
            _days(event["most_labels_after"]),
            *(_won_back(own["events"], seed, kind) for own in figures.values()),
        )
        for (seed, kind, size), event in events.items()
    ]
    heads = ("seed", "event", "size", "labels of 80 % of its traffic, after the first label")
    return table((*heads, *(f"won back: {policy}" for policy in figures)), rows)


def _won_back(events: Sequence[Mapping[str, Any]], seed: int, kind: str) -> str:
    event = next(e for e in events if (e["seed"], e["kind"]) == (seed, kind))
    if not event["loss"]:
        return "nothing lost"
    return "not" if event["censored"] else _days(event["after_labels"])


def _days(days: int | None) -> str:
    return "later than the year" if days is None else f"{days} days"


def _event_cell(events: Sequence[Mapping[str, Any]]) -> str:
    counted = [event for event in events if event["loss"]]
    if not counted:
        return "-"
    loss = statistics.fmean(event["loss"] for event in counted)
    days = [event["days"] if event["days"] is not None else float("inf") for event in counted]
    median = statistics.median(days)
    return f"{loss:.3f}; " + ("not" if median == float("inf") else f"{median:.0f}")
