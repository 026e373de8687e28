"""Saves the embedder's cache for the next start. Phrases may be private: only the owner reads."""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from functools import reduce
from pathlib import Path

import msgspec

from bentos.embedder.cache import EmbeddingCache
from core.files import replace_private
from core.logs import get_logger

EMBEDDINGS = "embeddings.bin"


class _Head(msgspec.Struct):
    """The second line of the file, before the vectors.

    The first line is the CRC-32 of all bytes after it, in 8 hex digits.
    """

    embedder_id: str
    phrases: list[str]
    bytes_each: int


class EmbeddingCacheFile:
    """Phrases with float32 vectors, 2 kB each at 512 dimensions: 100 MB for a full cache."""

    def __init__(self, folder: Path, cache: EmbeddingCache, *, embedder_id: str) -> None:
        self._file = folder / EMBEDDINGS
        self._cache = cache
        self._embedder_id = embedder_id
        self._saved = 0

    def save(self) -> None:
        """Replace the file when embeddings were computed since the last save.

        Raises `DiskFull` or `OSError`.
        """
        computed = self._cache.computed
        if computed == self._saved:
            return
        entries = self._cache.newest()
        vectors = [vector for _, vector in entries]
        head = _Head(self._embedder_id, [text for text, _ in entries], len(vectors[0]))
        parts = [msgspec.json.encode(head), b"\n", *vectors]
        replace_private(self._file, [_checksum(parts), *parts])
        self._saved = computed

    def restore(self) -> int:
        """Fill the cache; return the number of embeddings.

        It is 0 when there is no file, or the file is damaged or of another embedder.
        """
        try:
            entries = _read(self._file, embedder_id=self._embedder_id)
        except (OSError, ValueError, msgspec.DecodeError) as error:
            get_logger().info(
                "embedding", state="starts cold", reason=f"{type(error).__name__}: {error}"
            )
            return 0
        self._cache.restore(entries)
        return len(entries)


def _read(file: Path, *, embedder_id: str) -> list[tuple[str, bytes]]:
    with file.open("rb") as opened:
        checksum = opened.readline()
        line = opened.readline()
        head = msgspec.json.decode(line, type=_Head)
        if head.embedder_id != embedder_id:
            raise ValueError(f"saved for embedder {head.embedder_id}")
        vectors = [opened.read(head.bytes_each) for _ in head.phrases]
    if checksum != _checksum([line, *vectors]):
        raise ValueError("damaged")
    return list(zip(head.phrases, vectors, strict=True))


def _checksum(parts: Iterable[bytes]) -> bytes:
    return b"%08x\n" % reduce(lambda before, part: zlib.crc32(part, before), parts, 0)
