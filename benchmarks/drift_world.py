"""The traffic of the drift benchmark: `SimulatedTraffic`, as it arrives and changed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache

import numpy as np
import pandas as pd

from benchmarks.drift_champions import KEY, UNSEEN
from pipelines.source.noise import HEAVY, abbreviate
from pipelines.source.practice import EPOCH, Scale
from pipelines.source.traffic import Arrival, SimulatedTraffic

RARE_SHARE = 0.05
"""The rare labels are the rarest ones that together make up at most this share of the traffic."""
Change = Callable[[list[Arrival], np.random.Generator], list[str]]


@dataclass(frozen=True)
class Replacements:
    """Phrases that replace ordinary ones: any, those of rare labels, those of UNSEEN chapters."""

    everyday: list[str]
    rare: list[str]
    unseen: dict[str, list[str]]
    rare_labels: int


def draw_replacements(*, seed: int, rows: int) -> Replacements:
    """Sort `rows` ordinary arrivals of other days, written as the desks write them."""
    played = list(SimulatedTraffic("default", seed).play(EPOCH + timedelta(days=400), rows))
    labels = pd.Series([row.labels[KEY] for row in played])
    shares = labels.value_counts(normalize=True, ascending=True).cumsum()
    rare = set(shares.index[shares <= RARE_SHARE])
    return Replacements(
        [row.phrase for row in played],
        [row.phrase for row in played if row.labels[KEY] in rare],
        {
            chapter: [row.phrase for row in played if row.labels["chapter"] == chapter]
            for chapter in UNSEEN
        },
        len(rare),
    )


def play(*, seed: int, rows: int, scale: Scale = "default") -> list[Arrival]:
    """Arrivals after the snapshot, from a day given by the seed (0 to 59 days later)."""
    return list(SimulatedTraffic(scale, seed).play(EPOCH + timedelta(days=seed % 60), rows))


def unchanged(arrivals: list[Arrival], random: np.random.Generator) -> list[str]:
    """The phrases as they arrived."""
    return [row.phrase for row in arrivals]


def replaced(phrases: Sequence[str], *, share: float) -> Change:
    """Replace a `share` of the rows by these phrases."""

    def change(arrivals: list[Arrival], random: np.random.Generator) -> list[str]:
        moved = random.random(len(arrivals)) < share
        other = random.integers(len(phrases), size=len(arrivals))
        return [
            phrases[number] if new else row.phrase
            for row, new, number in zip(arrivals, moved, other, strict=True)
        ]

    return change


def abbreviated(*, share: float) -> Change:
    """Abbreviate a `share` of the rows as the desks in a hurry do (`noise.HEAVY`)."""

    def change(arrivals: list[Arrival], random: np.random.Generator) -> list[str]:
        short = random.random(len(arrivals)) < share
        return [
            _hurried(row.phrase) if new else row.phrase
            for row, new in zip(arrivals, short, strict=True)
        ]

    return change


@lru_cache(maxsize=100_000)
def _hurried(phrase: str) -> str:
    return abbreviate(phrase, HEAVY)


def unseen_topic(replacements: Replacements, *, share: float) -> Change:
    """Replace a `share` of the rows by phrases of one random chapter of UNSEEN."""

    def change(arrivals: list[Arrival], random: np.random.Generator) -> list[str]:
        chapter = UNSEEN[random.integers(len(UNSEEN))]
        return replaced(replacements.unseen[chapter], share=share)(arrivals, random)

    return change
