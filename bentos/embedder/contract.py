"""The wire between the two services: what travels, and the protocol that the request path relies on."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from typing import Protocol

import msgspec
import numpy as np

EMBED = "/raw/embed"
STATS = "/raw/stats"
HITS = "x-hits"  # of a response: one digit per phrase, 1 where the embedding was in the cache


class EmbedderStats(msgspec.Struct):
    """What the embedder's cache did since its process started."""

    hits: int
    misses: int
    evictions: int
    computed: int
    size: int
    bytes: int = 0


@dataclass(frozen=True, slots=True)
class Embedded:
    """Some of the phrases that were asked for: their places, `vectors` float32 (n, d), and whether these were in the embedder's cache."""

    places: Sequence[int]
    vectors: np.ndarray
    hit: bool


class Embedder(Protocol):
    """What embeds cleaned phrases, in parts, what it has before what it computes; raises `EmbedderUnavailable`."""

    def embed(self, cleaned: Sequence[str]) -> AsyncGenerator[Embedded, None]: ...
