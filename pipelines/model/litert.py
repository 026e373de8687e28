"""The runtime `litert`: the encoder with int8 matrix products, behind C++ sentencepiece.

Serving needs no TensorFlow. The table of embeddings stays as it is stored (uint8, one scale per
chunk). The weights of the products become int8, and so do their inputs, row by row. Integer sums
are exact and each row has its own scale, so a vector does not depend on its neighbours in a batch,
bit for bit.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np

from core.errors import EmbedderUnusable
from pipelines.model.arrays import Float32
from pipelines.model.silence import quiet

MODEL = "model.tflite"
TOKENIZER = "sp.model"
UNKNOWN = 0
BEGIN = 1
END = 2
_SIGNATURE = "from_ids"  # see use_graph.py


def convert_saved_model(saved_model: Path, folder: Path, *, tokenizer: Path) -> None:
    """Write `model.tflite` and `sp.model` into `folder`.

    The model takes token ids: a graph from strings would need ops that no wheel contains.
    """
    import tensorflow as tf

    with quiet():
        converter = tf.lite.TFLiteConverter.from_saved_model(
            str(saved_model), signature_keys=[_SIGNATURE]
        )
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converted = converter.convert()
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MODEL).write_bytes(converted)
    shutil.copyfile(tokenizer, folder / TOKENIZER)


def open_litert(folder: str) -> Callable[[Sequence[str]], Float32]:
    """Load what `convert_saved_model` wrote; return a function for one phrase or more.

    The function works on one thread; concurrent calls wait for each other.
    """
    encoder = _open(Path(folder))
    lock = Lock()

    def encode(cleaned: Sequence[str]) -> Float32:
        with lock:
            return encoder.encode(cleaned)

    return encode


def _open(folder: Path) -> _Encoder:
    try:
        return _Encoder(folder)
    # These are what the two libraries raise for files that they cannot use.
    except (ImportError, OSError, RuntimeError, ValueError) as error:
        line = (str(error).strip() or type(error).__name__).splitlines()[0][:300]
        raise EmbedderUnusable(
            f"{MODEL} and {TOKENIZER}", came=f"{folder}: {line}", do="run `dvc repro embedder`"
        ) from error


class _Encoder:
    """An interpreter and its tokenizer.

    Memory grows with the largest batch seen so far; the caller bounds it.
    """

    def __init__(self, folder: Path) -> None:
        from ai_edge_litert.interpreter import Interpreter
        from sentencepiece import SentencePieceProcessor

        self._shape = (0, 0)
        self._tokenizer = SentencePieceProcessor(model_file=str(folder / TOKENIZER))
        with quiet():
            # The interpreter maps the file, so processes share its pages.
            self._interpreter = Interpreter(str(folder / MODEL), num_threads=1)
            self._ids, self._lens, self._out = _places(self._interpreter)
            self._fit((1, 1))  # the first allocation prints, so it belongs inside `quiet`

    def encode(self, cleaned: Sequence[str]) -> Float32:
        rows = [
            [BEGIN, *(pieces or [UNKNOWN]), END] for pieces in self._tokenizer.encode(list(cleaned))
        ]
        ids = np.fromiter((piece for row in rows for piece in row), np.int32)
        lens = np.fromiter(map(len, rows), np.int32, len(rows))
        self._fit((len(ids), len(lens)))
        self._interpreter.set_tensor(self._ids, ids)
        self._interpreter.set_tensor(self._lens, lens)
        self._interpreter.invoke()
        vectors: Any = self._interpreter.get_tensor(self._out)  # a copy
        return np.asarray(vectors)

    def _fit(self, shape: tuple[int, int]) -> None:
        if shape == self._shape:
            return  # allocating again costs a tenth of a small batch
        for place, size in zip((self._ids, self._lens), shape, strict=True):
            self._interpreter.resize_tensor_input(place, [size])
        self._interpreter.allocate_tensors()
        self._shape = shape


def _places(interpreter: Any) -> tuple[int, int, int]:
    """Return the numbers of the tensors ids, lens and embeddings.

    The runner must be released before the interpreter may allocate: it lives in this function only.
    """
    runner = interpreter.get_signature_runner(_SIGNATURE)
    inputs = runner.get_input_details()
    outputs = runner.get_output_details()
    return inputs["ids"]["index"], inputs["lens"]["index"], outputs["embeddings"]["index"]
