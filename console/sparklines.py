"""Lines of numbers, small enough to stand in a table."""

from __future__ import annotations

from collections.abc import Sequence

WIDTH = 120
HEIGHT = 24


def sparkline(values: Sequence[float]) -> str:
    """Return the points of an SVG polyline of WIDTH by HEIGHT; the largest value touches the top.

    Without a value above zero the line lies at the bottom.
    """
    most = max(values, default=0) or 1
    step = WIDTH / max(len(values) - 1, 1)
    return " ".join(
        f"{number * step:.1f},{HEIGHT - 1 - (HEIGHT - 2) * value / most:.1f}"
        for number, value in enumerate(values)
    )
