"""The chart of the drift page: every point lies within it, and higher z lie higher."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from console.drift_chart import HEIGHT, TOP, WIDTH, draw_chart
from monitoring.drift.history import SeenWindow
from monitoring.windows.statistics import STATISTICS

NOW = datetime(2026, 3, 1, tzinfo=UTC)


def window(number: int, z: float, alarms: tuple[str, ...] = ()) -> SeenWindow:
    statistics = {name: {"value": 0.1, "z": z, "limit": 3.0} for name in STATISTICS}
    end = NOW + timedelta(days=number)
    return SeenWindow(
        number, NOW, end, 500, "1", "steady", alarms, statistics, labels=None, review=None
    )


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=30))
def test_every_point_lies_within_and_higher_z_lie_higher(heights: list[float]) -> None:
    chart = draw_chart([window(number, z) for number, z in enumerate(heights)])
    assert chart is not None and len(chart.lines) == len(STATISTICS)
    points = [tuple(map(float, point.split(","))) for point in chart.lines[0].points.split()]
    assert all(0 <= x <= WIDTH and TOP <= y <= HEIGHT - TOP for x, y in points)
    assert [x for x, _ in points] == sorted(x for x, _ in points)
    by_z = [y for _, (_, y) in sorted(zip(heights, points, strict=True), key=lambda row: row[0])]
    assert by_z == sorted(by_z, reverse=True)


def test_without_a_judged_window_there_is_no_chart() -> None:
    bare = window(1, 1.0)
    unjudged = SeenWindow(
        1, bare.start, bare.end, 500, "1", "insufficient", (), {}, labels=None, review=None
    )
    assert draw_chart([]) is None
    assert draw_chart([unjudged]) is None


def test_a_statistic_that_a_window_lacks_has_no_point() -> None:
    part = window(2, 1.0)
    fewer = SeenWindow(
        2,
        part.start,
        part.end,
        500,
        "1",
        "steady",
        (),
        {"confidence": {"value": 0.1, "z": 1.0}},
        labels=None,
        review=None,
    )
    chart = draw_chart([window(1, 1.0), fewer])
    assert chart is not None
    counts = {line.name: len(line.points.split()) for line in chart.lines}
    assert (counts["confidence"], counts["embeddings"]) == (2, 1)
