"""The least-recently-used cache of both levels: answers and embeddings."""

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
    """Holds at most `maximum` values; the least recently used is evicted first. For one thread.

    `size` returns how many bytes an entry costs.
    """

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
        """Neither counts nor refreshes."""
        return key in self._values

    def newest(self) -> list[tuple[Key, Value]]:
        """Return every entry, the most recently used first."""
        return list(self._values.items())[::-1]

    def get(self, key: Key) -> Value | None:
        value = self._values.get(key)
        if value is None:
            self.counts.misses += 1
            return None
        self.counts.hits += 1
        self._values.move_to_end(key)
        return value

    def peek(self, key: Key) -> Value | None:
        """Return the value; neither counts nor refreshes."""
        return self._values.get(key)

    def find(self, keys: Sequence[Key]) -> list[Value | None]:
        """Do `get` for each key, in order, at half the cost."""
        refresh = self._values.move_to_end
        values = list(map(self._values.get, keys))
        hits = 0
        for key, value in zip(keys, values, strict=True):
            if value is not None:
                refresh(key)
                hits += 1
        self.counts.hits += hits
        self.counts.misses += len(values) - hits
        return values

    def drop(self, chosen: Callable[[Key], bool]) -> None:
        """Remove the entries whose key is chosen."""
        for key in [key for key in self._values if chosen(key)]:
            self.weight -= self._size(key, self._values.pop(key))

    def put(self, key: Key, value: Value) -> None:
        if key in self._values:
            self.weight -= self._size(key, self._values.pop(key))
        self._values[key] = value
        self.weight += self._size(key, value)
        if len(self._values) > self.maximum:
            self.weight -= self._size(*self._values.popitem(last=False))
            self.counts.evictions += 1
