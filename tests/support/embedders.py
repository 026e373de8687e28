"""Embedders that cost nothing: a fake one in memory, and a tiny LiteRT model."""

from __future__ import annotations

import json
import tempfile
import zlib
from collections.abc import AsyncGenerator, Sequence
from pathlib import Path

import numpy as np

from bentos.embedder.contract import Embedded, EmbedderStats
from core.errors import EmbedderUnavailable
from pipelines.model.embedder_building import use_resource
from pipelines.model.litert import convert_saved_model
from tests.support.heads import DIMENSIONS, EMBEDDER_ID


class FakeEmbedder:
    """Vectors from the text alone; remembers what it embedded, like the embedder's cache.

    While `down` is set it does not answer.
    """

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.down = False
        self._seen: set[str] = set()

    async def embed(
        self, cleaned: Sequence[str], *, keep: bool = True
    ) -> AsyncGenerator[Embedded, None]:
        if self.down:
            raise EmbedderUnavailable("an answer", came="none", do="try again")
        self.batches.append(list(cleaned))
        seen = [text in self._seen for text in cleaned]
        self._seen.update(cleaned if keep else ())
        for hit in (True, False):
            places = [place for place, known in enumerate(seen) if known == hit]
            if places:
                yield Embedded(
                    places, np.stack([vector_of(cleaned[place]) for place in places]), hit
                )

    def stats(self) -> EmbedderStats | None:
        return (
            None
            if self.down
            else EmbedderStats(0, 0, 0, sum(map(len, self.batches)), len(self._seen))
        )


def vector_of(text: str) -> np.ndarray:
    vector = (
        np.random.default_rng(zlib.crc32(text.encode())).normal(size=DIMENSIONS).astype(np.float32)
    )
    return vector / np.linalg.norm(vector)


def build_tiny_embedder(folder: Path) -> Path:
    """Write a LiteRT model and embedder.json: tokens through a fixed random table.

    Imports tensorflow, which converts the model.
    """
    import tensorflow as tf

    class Tiny(tf.Module):  # type: ignore[misc]  # tensorflow has no types
        def __init__(self) -> None:
            self.table = tf.constant(
                np.random.default_rng(0).normal(size=(4096, DIMENSIONS)).astype(np.float32)
            )

        @tf.function(
            input_signature=[
                tf.TensorSpec([None], tf.int32, name="ids"),
                tf.TensorSpec([None], tf.int32, name="lens"),
            ]
        )
        def from_ids(self, ids: tf.Tensor, lens: tf.Tensor) -> dict[str, tf.Tensor]:
            tokens = tf.RaggedTensor.from_row_lengths(tf.gather(self.table, ids % 4096), lens)
            owners = tf.cast(tokens.value_rowids(), tf.int32)
            return {
                "embeddings": tf.math.l2_normalize(
                    tf.math.unsorted_segment_sum(tokens.flat_values, owners, tf.shape(lens)[0]),
                    axis=1,
                )
            }

    tiny = Tiny()
    with tempfile.TemporaryDirectory() as scratch:
        tf.saved_model.save(tiny, scratch, signatures={"from_ids": tiny.from_ids})
        convert_saved_model(Path(scratch), folder, tokenizer=use_resource("sp.model"))
    manifest = {
        "embedder_id": EMBEDDER_ID,
        "handle": "tiny",
        "runtime": "litert",
        "dimensions": DIMENSIONS,
    }
    (folder / "embedder.json").write_text(json.dumps(manifest))
    return folder
