"""The rows of the source: the world's past, and the true labels of the year, 30 days late."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import cached_property

import numpy as np
import pyarrow as pa

from operations.simulation.arrivals import Arrivals
from operations.simulation.memory import GivenLabel
from operations.simulation.world import EPOCH, World

KEY = "label"
"""The label column, and the name of the simulated classifier."""
LATE_DAYS = 30
SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("phrase", pa.string()),
        ("occurred_at", pa.timestamp("us", tz="UTC")),
        ("region", pa.string()),
        (KEY, pa.string()),
        ("origin", pa.string()),
    ]
)


def request_ids(day: int, rows: int) -> list[str]:
    """The ids of a day's answers; the source knows its rows by the same."""
    return [f"r{day:04d}-{row:05d}" for row in range(rows)]


class Source:
    """What the source holds at each moment of the year; during a silence nothing arrives in it."""

    def __init__(self, world: World, year: Sequence[Arrivals]) -> None:
        past = world.history()
        days = [*range(-len(past), 0), *range(len(year))]
        self.parts: list[Arrivals] = [*past, *year]
        self.day = np.repeat(days, [len(part) for part in self.parts])
        self.past_rows = sum(map(len, past))
        self._labels = np.array(world.labels, dtype=object)
        self._silences = [event for event in world.calendar if event.kind == "silence"]

    def _column(self, name: str) -> np.ndarray:
        return np.concatenate([getattr(part, name) for part in self.parts])

    @cached_property
    def cleaned(self) -> np.ndarray:
        return self._column("cleaned")

    @cached_property
    def label(self) -> np.ndarray:
        return np.asarray(self._labels[self._column("truth")])

    @cached_property
    def occurred(self) -> np.ndarray:
        """Seconds since day 0: float64 (n,)."""
        return np.asarray(self.day * 86_400.0 + self._column("second"))

    @cached_property
    def arrives(self) -> np.ndarray:
        """When the source gets the label, in seconds since day 0."""
        arrives = self.occurred + LATE_DAYS * 86_400.0
        for silence in self._silences:
            start = silence.first * 86_400.0
            end = silence.last * 86_400.0
            arrives = np.where((arrives >= start) & (arrives < end), end, arrives)
        return arrives

    @cached_property
    def ids(self) -> list[str]:
        past = [f"h{row:07d}" for row in range(self.past_rows)]
        days, counts = np.unique(self.day[self.past_rows :], return_counts=True)
        year = [request_ids(int(day), int(n)) for day, n in zip(days, counts, strict=True)]
        return [*past, *(name for day in year for name in day)]

    @cached_property
    def table(self) -> pa.Table:
        """All rows, as a snapshot holds them."""
        moments = np.datetime64(EPOCH.replace(tzinfo=None), "us") + (self.occurred * 1e6).astype(
            "timedelta64[us]"
        )
        columns = [
            pa.array(self.ids, pa.string()),
            pa.array(self._column("phrase"), pa.string()),
            pa.array(moments, pa.timestamp("us")).cast(SCHEMA.field("occurred_at").type),
            pa.array(self._column("region"), pa.string()),
            pa.array(self.label, pa.string()),
            pa.array(["source"] * len(self.ids), pa.string()),
        ]
        return pa.table(columns, schema=SCHEMA)

    def rows_known(self, now: datetime, *, delayed: bool = True) -> np.ndarray:
        """Numbers of the rows whose labels are there, in order of time."""
        moments = self.arrives if delayed else self.occurred
        return np.flatnonzero(moments <= (now - EPOCH).total_seconds())

    def given(self, rows: np.ndarray) -> list[GivenLabel]:
        """These rows as labels for a memory: they count from the time when the phrase came."""
        return [
            GivenLabel(
                self.ids[row],
                self.cleaned[row],
                self.label[row],
                EPOCH + timedelta(seconds=float(self.occurred[row])),
            )
            for row in rows.tolist()
        ]

    def past_counts(self) -> dict[str, Counter[str]]:
        """Of each phrase of the past, how often it had which label."""
        counts: dict[str, Counter[str]] = {}
        for row in range(self.past_rows):
            counts.setdefault(self.cleaned[row], Counter())[self.label[row]] += 1
        return counts
