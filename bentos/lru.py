"""The two levels of the cache: answers in the classifier service, embeddings in the embedder service."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")

BATCH_PHRASES = 256


@dataclass
class CacheCounts:
    """What a cache did since the start of its process."""

    hits: int = 0
    misses: int = 0
    evictions: int = 0


class LruCache(Generic[Key, Value]):
    """At most `maximum` values; the least recently used goes first. For one thread. `size` says how many bytes an entry costs."""

    def __init__(
        self, maximum: int, *, size: Callable[[Key, Value], int] = lambda key, value: 0
    ) -> None:
        self.maximum = maximum
        self.counts = CacheCounts()
        self.weight = 0
        self._size = size
        self._values: OrderedDict[Key, Value] = OrderedDict()

    def __len__(self) -> int:
        return len(self._values)

    def __contains__(self, key: Key) -> bool:
        """Without counting or refreshing."""
        return key in self._values

    def newest(self) -> list[tuple[Key, Value]]:
        """Every entry, the most recently used first."""
        return list(self._values.items())[::-1]

    def get(self, key: Key) -> Value | None:
        value = self._values.get(key)
        if value is None:
            self.counts.misses += 1
            return None
        self.counts.hits += 1
        self._values.move_to_end(key)
        return value

    def find(self, keys: Sequence[Key]) -> list[Value | None]:
        """`get` of each, in order, at half the cost."""
        values, refresh = self._values, self._values.move_to_end
        found, hits = list(map(values.get, keys)), 0
        for key, value in zip(keys, found, strict=True):
            if value is not None:
                refresh(key)
                hits += 1
        self.counts.hits += hits
        self.counts.misses += len(found) - hits
        return found

    def put(self, key: Key, value: Value) -> None:
        if key in self._values:
            self.weight -= self._size(key, self._values.pop(key))
        self._values[key] = value
        self.weight += self._size(key, value)
        if len(self._values) > self.maximum:
            self.weight -= self._size(*self._values.popitem(last=False))
            self.counts.evictions += 1
