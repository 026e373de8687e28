"""The learning curve as SVG."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

WIDTH = 640
HEIGHT = 260
LEFT = 52
RIGHT = WIDTH - 12
TOP = 12
BOTTOM = HEIGHT - 34
TICKS = 4
TITLE = "Share of new phrases answered wrong, by training phrases"


@dataclass(frozen=True)
class _Frame:
    """Phrases on a logarithmic axis from `first` to `last`, shares from 0 to `most`."""

    first: float
    last: float
    most: float

    def x(self, phrases: float) -> float:
        width = max(math.log(self.last / self.first), 1e-9)
        return round(LEFT + math.log(phrases / self.first) / width * (RIGHT - LEFT), 1)

    def y(self, wrong: float) -> float:
        return round(BOTTOM - wrong / self.most * (BOTTOM - TOP), 1)

    def path(self, line: list[Mapping[str, float]], name: str) -> list[str]:
        return [f"{self.x(point['phrases'])},{self.y(point[name])}" for point in line]


def draw_curve(curve: Mapping[str, Any]) -> Markup:
    """Return the picture; "" without a curve. All text in it is ours: nothing needs escaping.

    The interval is drawn from the last but one refit on: it is meant for what lies ahead.
    """
    if curve["reason"]:
        return Markup("")
    line = curve["line"]
    ahead = [point for point in line if point["phrases"] >= curve["points"][-2]["phrases"]]
    highest = max(point["high"] for point in ahead)
    highest = max(highest, *(point["wrong"] for point in [*line, *curve["points"]]))
    frame = _Frame(line[0]["phrases"], line[-1]["phrases"], max(highest, 1e-6))
    band = [*frame.path(ahead, "high"), *reversed(frame.path(ahead, "low"))]
    now = frame.x(curve["phrases"])
    parts = [
        *_grid(frame),
        f'<polygon class="band" points="{" ".join(band)}"/>',
        f'<polyline class="law" points="{" ".join(frame.path(line, "wrong"))}"/>',
        *_dots(frame, curve["points"]),
        f'<line class="now" x1="{now}" x2="{now}" y1="{TOP}" y2="{BOTTOM}"/>',
    ]
    opening = f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{TITLE}">'
    return Markup(opening + "".join(parts) + "</svg>")


def _grid(frame: _Frame) -> Iterator[str]:
    for step in range(TICKS + 1):
        value = frame.most * step / TICKS
        y = frame.y(value)
        yield f'<line class="grid" x1="{LEFT}" x2="{RIGHT}" y1="{y}" y2="{y}"/>'
        yield f'<text x="{LEFT - 6}" y="{y + 4}" text-anchor="end">{value:.1%}</text>'


def _dots(frame: _Frame, points: list[Mapping[str, Any]]) -> Iterator[str]:
    for point in points:
        x = frame.x(point["phrases"])
        count = f"{point['phrases']:,}"
        yield f'<circle cx="{x}" cy="{frame.y(point["wrong"])}" r="4"/>'
        yield f'<text x="{x}" y="{HEIGHT - 12}" text-anchor="middle">{count}</text>'
