"""The runtime `litert`: the encoder with int8 matrix products, and C++ sentencepiece in front of it. Serving needs no TensorFlow.

The table of embeddings stays as it is stored (uint8, a scale a chunk); only the weights of the products become int8, and
their inputs too, row by row. Integer sums are exact and each row has its own scale, so a vector does not depend on its
neighbours in a batch, bit for bit.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np

from core.errors import EmbedderUnusable
from pipelines.model.silence import quiet

MODEL, TOKENIZER = "model.tflite", "sp.model"
UNKNOWN, BEGIN, END = 0, 1, 2
_SIGNATURE = "from_ids"  # see use_graph.py


def convert_saved_model(saved_model: Path, folder: Path, *, tokenizer: Path) -> None:
    """Write `model.tflite` and `sp.model` into `folder`. The graph from strings would need ops that no wheel brings: ids it is."""
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


def open_litert(folder: str) -> Callable[[Sequence[str]], np.ndarray]:
    """Load what `convert_saved_model` wrote; return a function for at least one phrase. One thread; calls wait for each other."""
    encoder, lock = _open(Path(folder)), Lock()

    def encode(cleaned: Sequence[str]) -> np.ndarray:
        with lock:
            return encoder.encode(cleaned)

    return encode


def _open(folder: Path) -> _Encoder:
    try:
        return _Encoder(folder)
    except (
        ImportError,
        OSError,
        RuntimeError,
        ValueError,
    ) as error:  # what the two libraries raise for bad files
        line = (str(error).strip() or type(error).__name__).splitlines()[0][:300]
        raise EmbedderUnusable(
            f"{MODEL} and {TOKENIZER}", came=f"{folder}: {line}", do="run `dvc repro embedder`"
        ) from error


class _Encoder:
    """An interpreter and its tokenizer. Memory grows with the largest batch ever seen: the caller bounds it."""

    def __init__(self, folder: Path) -> None:
        from ai_edge_litert.interpreter import Interpreter
        from sentencepiece import SentencePieceProcessor

        self._shape = (0, 0)
        self._tokenizer = SentencePieceProcessor(model_file=str(folder / TOKENIZER))
        with quiet():
            self._interpreter = Interpreter(
                str(folder / MODEL), num_threads=1
            )  # maps the file: its pages are shared
            self._ids, self._lens, self._out = _places(self._interpreter)
            self._fit((1, 1))  # now, while its libraries introduce themselves

    def encode(self, cleaned: Sequence[str]) -> np.ndarray:
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
            return  # allocating again would cost a tenth of a small batch
        for place, size in zip((self._ids, self._lens), shape, strict=True):
            self._interpreter.resize_tensor_input(place, [size])
        self._interpreter.allocate_tensors()
        self._shape = shape


def _places(interpreter: Any) -> tuple[int, int, int]:
    """Numbers of the tensors ids, lens and embeddings. The runner must be gone before the interpreter may allocate."""
    runner = interpreter.get_signature_runner(_SIGNATURE)
    inputs, outputs = runner.get_input_details(), runner.get_output_details()
    return inputs["ids"]["index"], inputs["lens"]["index"], outputs["embeddings"]["index"]
