"""The phrases that a version was trained on, kept small beside its head, and the nearest of them.

A vector of 512 numbers becomes DIRECTIONS bytes: what the leading directions of the vectors hold
beyond their mean. 20,000 phrases take 4 MB.
"""

from __future__ import annotations

import io
import zipfile
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from core.logs import get_logger
from pipelines.model.arrays import Float32
from pipelines.model.training import TrainingRows

PHRASES_FILE = "training-phrases.npz"
MOST = 20_000
DIRECTIONS = 192
"""Of 16,600 phrases they find 96 % of the five nearest; 128 would find 87 %, in 2 MB."""
FITTED_ON = 5_000
"""Phrases from which the directions are taken."""
BLOCK = 4096
SHOWN = 5


@dataclass(frozen=True)
class NearPhrase:
    """A training phrase, its present label, and about its cosine to another."""

    phrase: str
    label: str
    similarity: float


@dataclass(frozen=True, eq=False)
class TrainingPhrases:
    """Distinct cleaned phrases with their labels and rough unit vectors.

    Attributes
    ----------
    text : the phrases, parted by newlines, which no cleaned phrase has
    labels : what `codes` number
    codes : uint16 (n,)
    vectors : int8 (n, r); a vector is about `mean + basis @ (scales * row)`
    mean, basis, scales : float32 (d,), (d, r) and (r,)
    """

    text: bytes
    labels: tuple[str, ...]
    codes: NDArray[np.uint16]
    vectors: NDArray[np.int8]
    mean: Float32
    basis: Float32
    scales: Float32

    def nearest(
        self, vector: Float32, *, besides: str = "", limit: int = SHOWN
    ) -> list[NearPhrase]:
        """Return the nearest phrases, the nearest first, without the phrase `besides`."""
        unit = vector / max(float(np.linalg.norm(vector)), 1e-12)
        cosines = self._cosines(unit.astype(np.float32))
        best = np.argsort(-cosines, kind="stable")[: limit + 1].tolist()
        near = [
            NearPhrase(phrase, self.labels[self.codes[place]], round(float(cosines[place]), 3))
            for place in best
            if (phrase := self._phrases[place].decode()) != besides
        ]
        return near[:limit]

    @cached_property
    def _phrases(self) -> list[bytes]:
        return self.text.split(b"\n")

    def _cosines(self, unit: Float32) -> Float32:
        directions = (unit @ self.basis) * self.scales
        parts = [
            self.vectors[start : start + BLOCK].astype(np.float32) @ directions
            for start in range(0, len(self.vectors), BLOCK)
        ]
        cosines: Float32 = np.concatenate(parts) + np.float32(unit @ self.mean)
        return np.clip(cosines, -1, 1)


def choose_training_phrases(rows: TrainingRows) -> TrainingPhrases:
    """Return the MOST phrases of most rows, each with its present label, in order of their text."""
    rows_of: dict[str, float] = {}
    best: dict[str, int] = {}
    present = np.zeros(len(rows.cleaned), bool) if rows.present is None else rows.present
    rank = list(zip(present.tolist(), rows.weights.tolist(), strict=True))

    for place in np.flatnonzero(rows.trained()).tolist():
        phrase = str(rows.cleaned[place])
        rows_of[phrase] = rows_of.get(phrase, 0.0) + rank[place][1]
        if phrase not in best or rank[place] > rank[best[phrase]]:
            best[phrase] = place

    chosen = sorted(sorted(rows_of, key=lambda phrase: (-rows_of[phrase], phrase))[:MOST])
    places = [best[phrase] for phrase in chosen]
    names, codes = np.unique(rows.labels[places], return_inverse=True)
    return TrainingPhrases(
        "\n".join(chosen).encode(),
        tuple(str(name) for name in names),
        codes.astype(np.uint16),
        *_shortened(rows.vectors[places]),
    )


def _shortened(vectors: Float32) -> tuple[NDArray[np.int8], Float32, Float32, Float32]:
    """Return `vectors`, `mean`, `basis` and `scales` of a `TrainingPhrases`."""
    lengths = np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    unit = (vectors / lengths).astype(np.float32)
    mean = unit.mean(axis=0) if len(unit) else np.zeros(unit.shape[1], np.float32)
    centred = unit - mean
    sample = centred[:: max(len(centred) // FITTED_ON, 1)]
    _, directions = np.linalg.eigh((sample.T @ sample).astype(np.float64))
    basis = np.ascontiguousarray(directions[:, ::-1][:, :DIRECTIONS], np.float32)
    rows = centred @ basis
    scales = np.maximum(np.abs(rows).max(axis=0, initial=0), 1e-12) / 127
    return np.round(rows / scales).astype(np.int8), mean, basis, scales.astype(np.float32)


def save_training_phrases(phrases: TrainingPhrases, folder: Path) -> None:
    """Write PHRASES_FILE; equal phrases give equal bytes."""
    buffer = io.BytesIO()
    np.savez_compressed(
        buffer,
        allow_pickle=False,
        text=np.frombuffer(phrases.text, np.uint8),
        labels=np.frombuffer("\n".join(phrases.labels).encode(), np.uint8),
        codes=phrases.codes,
        vectors=phrases.vectors,
        mean=phrases.mean,
        basis=phrases.basis.astype(np.float16),
        scales=phrases.scales,
    )
    (folder / PHRASES_FILE).write_bytes(buffer.getvalue())


def load_training_phrases(folder: Path) -> TrainingPhrases | None:
    """Read PHRASES_FILE; None for a version that has none, or one that cannot be read."""
    file = folder / PHRASES_FILE
    try:
        with np.load(io.BytesIO(file.read_bytes()), allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
        return TrainingPhrases(
            arrays["text"].tobytes(),
            tuple(arrays["labels"].tobytes().decode().split("\n")),
            arrays["codes"],
            arrays["vectors"],
            arrays["mean"],
            arrays["basis"].astype(np.float32),
            arrays["scales"],
        )
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        get_logger().warning(
            "training phrases", state="unreadable", file=str(file), error=str(error)
        )
        return None
