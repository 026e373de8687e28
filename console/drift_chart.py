"""The statistics of windows along time as SVG, for browsers without JavaScript. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from monitoring.drift.budget import ALARM
from monitoring.drift.history import SeenWindow
from monitoring.windows.statistics import STATISTICS

WIDTH = 960
HEIGHT = 300
LEFT = 40
TOP = 10
LOWEST = -5.0
HIGHEST = 100.0
TICKS = (-3, 0, 3, 10, 30, 100)


@dataclass(frozen=True)
class Line:
    """One statistic: `points` as SVG writes them; `number` picks its colour."""

    name: str
    number: int
    points: str


@dataclass(frozen=True)
class Mark:
    """A window on the axis of time; `y` is the height of its largest z."""

    x: float
    y: float
    window: SeenWindow


@dataclass(frozen=True)
class Chart:
    """What the template draws; `limit` is the line that alarms lie above."""

    lines: tuple[Line, ...]
    limit: str
    marks: tuple[Mark, ...]
    ticks: tuple[tuple[int, float], ...]


def draw_chart(windows: Sequence[SeenWindow]) -> Chart | None:
    """Place the judged windows by the end of each; None without any.

    The scale is linear up to ALARM, logarithmic beyond it.
    """
    judged = [window for window in windows if window.statistics]
    if not judged:
        return None
    xs = _places([window.end.timestamp() for window in judged])
    lines = tuple(
        Line(name, number, _points(xs, [window.statistics.get(name) for window in judged]))
        for number, name in enumerate(STATISTICS)
    )
    limits = [f"{x:.1f},{_height(w.limit or ALARM):.1f}" for x, w in zip(xs, judged, strict=True)]
    marks = tuple(
        Mark(x, _height(_largest(window)), window) for x, window in zip(xs, judged, strict=True)
    )
    ticks = tuple((tick, _height(tick)) for tick in TICKS)
    return Chart(lines, " ".join(limits), marks, ticks)


def _largest(window: SeenWindow) -> float:
    return max(entry["z"] for entry in window.statistics.values())


def _places(moments: Sequence[float]) -> list[float]:
    first = min(moments)
    span = max(moments) - first
    room = WIDTH - LEFT - 2 * TOP
    return [LEFT + TOP + (room * (at - first) / span if span else room / 2) for at in moments]


def _points(xs: Sequence[float], entries: Sequence[object]) -> str:
    return " ".join(
        f"{x:.1f},{_height(entry['z']):.1f}"
        for x, entry in zip(xs, entries, strict=True)
        if isinstance(entry, dict)
    )


def _height(z: float) -> float:
    """Return y of a z, which is cut to the chart."""
    low = _folded(LOWEST)
    share = (_folded(min(max(z, LOWEST), HIGHEST)) - low) / (_folded(HIGHEST) - low)
    return round(HEIGHT - TOP - (HEIGHT - 2 * TOP) * share, 1)


def _folded(z: float) -> float:
    if abs(z) <= ALARM:
        return z / ALARM
    return math.copysign(1 + math.log(abs(z) / ALARM), z)
