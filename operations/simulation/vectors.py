"""The embedding of every phrase, computed once per machine and kept in a folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pipelines.model.embedder import Embed, load_embedder, read_embedder
from pipelines.stages import vectors as stored
from pipelines.stages.embed import embed_steadily


class Vectors:
    """An `Embed` that calls the model once for each phrase, and remembers."""

    def __init__(
        self,
        embed: Embed,
        *,
        embedder_id: str,
        folder: Path | None = None,
        known: Path | None = None,
    ) -> None:
        self.embedder_id = embedder_id
        self._embed = embed
        self._folder = folder
        self._place: dict[str, int] = {}
        self._vectors = np.empty((0, 0), np.float32)
        for place in (folder, known):
            if place is not None:
                self._read(place)
        self._stored = len(self._place)

    def _read(self, folder: Path) -> None:
        phrases, vectors = stored.stored_vectors(folder, self.embedder_id)
        new = [place for place, phrase in enumerate(phrases) if phrase not in self._place]
        for place in new:
            self._place[phrases[place]] = len(self._place)
        self._join(np.asarray(vectors[new], np.float32))

    def _join(self, added: np.ndarray) -> None:
        if len(added):
            joined = [self._vectors, added] if len(self._vectors) else [added]
            self._vectors = np.concatenate(joined)

    def __call__(self, cleaned: Sequence[str]) -> np.ndarray:
        """float32 (n, d)."""
        new = [phrase for phrase in dict.fromkeys(cleaned) if phrase not in self._place]
        if new:
            added = embed_steadily(new, embed=self._embed)
            for place, phrase in enumerate(new, len(self._place)):
                self._place[phrase] = place
            self._join(added)
        return self._vectors[[self._place[phrase] for phrase in cleaned]]

    def save(self) -> None:
        """Write the vectors when there are new ones; the order of the phrases is that of coming."""
        if self._folder is not None and len(self._place) > self._stored:
            self._folder.mkdir(parents=True, exist_ok=True)
            stored.store_vectors(self._folder, list(self._place), self._vectors, self.embedder_id)
            self._stored = len(self._place)


def stored_vectors(folder: Path, *, embedder: Path, known: Path | None = None) -> Vectors:
    """The vectors below `folder`, and an embedder for every other phrase.

    Those below `known` are read, too. Raises `EmbedderUnusable`.
    """
    identity = str(read_embedder(embedder)["embedder_id"])
    return Vectors(load_embedder(embedder), embedder_id=identity, folder=folder, known=known)
