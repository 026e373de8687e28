"""Presents the recovery benchmark: figures, tables and bars of the kills."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.harness import Bar, Result, median, table

KNOWN = 200
BACK_SECONDS = 10.0
REFUSED_MS = 100.0

EMBEDDER_BACK = "embedder killed: new phrases answered again, s"
IN_FLIGHT = "embedder killed: 503 for those in flight, ms"
REFUSED = "embedder killed: 503 for those asked while it is dead, ms"
HITS = "embedder killed: answers of the first level, ms"
WORKER_BACK = "classifier's worker killed: answers again, s"


@dataclass
class Death:
    """One kill of the embedder.

    `back` is the seconds until a new phrase was answered again. The latencies are those of requests
    in flight, of requests refused while it was dead, and of hits.
    """

    back: float
    in_flight_ms: list[float]
    refused_ms: list[float]
    hit_ms: list[float]
    failed_hits: int
    wrong: int


def build_result(
    deaths: Sequence[Death], backs: Sequence[float], *, lost: int, requests: int
) -> Result:
    """Medians, the worst, and the bars; each bar is about the worst."""
    series = _series(deaths, backs)
    failed = sum(death.failed_hits for death in deaths)
    figures: dict[str, Any] = {
        name: {"median": median(values), "worst": max(values), "count": len(values)}
        for name, values in series.items()
    }
    kills = f"{len(deaths)} kills of each"
    clients = f"four clients, half of them for {KNOWN} phrases of the first level"
    return Result(
        figures={**figures, "lost": lost, "failed_hits": failed},
        bars=_bars(deaths, series, failed=failed, lost=lost),
        tables=[_table(series)],
        input=f"{kills}, {requests:,} requests of {clients}",
    )


def _series(deaths: Sequence[Death], backs: Sequence[float]) -> dict[str, list[float]]:
    return {
        EMBEDDER_BACK: [death.back for death in deaths],
        IN_FLIGHT: [ms for death in deaths for ms in death.in_flight_ms],
        REFUSED: [ms for death in deaths for ms in death.refused_ms],
        HITS: [ms for death in deaths for ms in death.hit_ms],
        WORKER_BACK: list(backs),
    }


def _bars(
    deaths: Sequence[Death], series: Mapping[str, list[float]], *, failed: int, lost: int
) -> list[Bar]:
    worst = {name: max(values) for name, values in series.items()}
    wrong = sum(death.wrong for death in deaths)
    return [
        Bar(
            "seconds until a killed embedder is back, the slowest",
            worst[EMBEDDER_BACK],
            BACK_SECONDS,
        ),
        Bar("ms until those in flight hear 503, the slowest", worst[IN_FLIGHT], REFUSED_MS),
        Bar(
            "ms until those asked after the death hear 503, the slowest",
            worst[REFUSED],
            REFUSED_MS,
        ),
        Bar("failed answers of the first level", failed, 0),
        Bar("answers to new phrases that were neither 200 nor 503", wrong, 0),
        Bar(
            "seconds until a killed classifier worker is back, the slowest",
            worst[WORKER_BACK],
            BACK_SECONDS,
        ),
        Bar("answers lost", lost, 0),
    ]


def _table(series: Mapping[str, list[float]]) -> str:
    rows = [
        (
            name,
            len(values),
            f"{median(values):.3g}",
            f"{np.percentile(values, 99):.3g}",
            f"{max(values):.3g}",
        )
        for name, values in series.items()
    ]
    return table(("", "count", "median", "p99", "worst"), rows)
