"""The contract between the two services: paths, types and the protocol of the request path."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from typing import Protocol

import msgspec
import numpy as np

EMBED = "/raw/embed"
EMBED_IN_PASSING = "/raw/embed-in-passing"  # leaves the cache as it is
STATS = "/raw/stats"
HITS = "x-hits"  # of a response: one digit per phrase, 1 where the embedding was in the cache


class EmbedderStats(msgspec.Struct):
    """Counts of the embedder's cache since its process started."""

    hits: int
    misses: int
    evictions: int
    computed: int
    size: int
    bytes: int = 0


@dataclass(frozen=True, slots=True)
class Embedded:
    """Some of the requested phrases: their places and their `vectors`, float32 (n, d).

    `hit` says whether these vectors were in the embedder's cache.
    """

    places: Sequence[int]
    vectors: np.ndarray
    hit: bool


class EmbedderContract(Protocol):
    """Embeds cleaned phrases in parts: cached ones first. Raises `EmbedderUnavailable`.

    With `keep` false, the cache is read and left as it is.
    """

    def embed(
        self, cleaned: Sequence[str], *, keep: bool = True
    ) -> AsyncGenerator[Embedded, None]: ...
