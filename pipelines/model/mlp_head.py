"""Fits the perceptron head in Keras; the result is arrays, so applying it needs no TensorFlow."""

from __future__ import annotations

import os
import sys
from contextlib import nullcontext, suppress
from typing import Any

import numpy as np

from core import head_params as blocks
from pipelines.model.arrays import AnyArray, Bool, Int64
from pipelines.model.calibration import calibrate
from pipelines.model.scoring import Arrays, Settings
from pipelines.model.silence import quiet
from pipelines.model.training import TrainingRows, fitting_rows, fitting_weights

BATCH = 128
LEARNING_RATE = 5e-3
LAST_LEARNING_RATE = 1e-3
LAST_SHARE = 0.25
"""Epochs with all rows, as a share of those without the validation slice."""
_ENVIRONMENT = {
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "TF_ENABLE_ONEDNN_OPTS": "0",
    "CUDA_VISIBLE_DEVICES": "-1",
}


def fit_mlp(
    params: blocks.MlpHead, rows: TrainingRows, codes: Int64, seed: int
) -> tuple[Arrays, Settings]:
    """Fit without the validation slice, calibrate on it, then continue with all rows."""
    keras = import_keras()
    keras.utils.set_random_seed(seed)
    network = _network(keras, params, dimensions=rows.vectors.shape[1], labels=int(codes.max()) + 1)
    settings = {"temperature": 1.0}

    first = fitting_rows(rows, codes)
    _train(keras, network, rows, codes, first, epochs=params.epochs, rate=LEARNING_RATE)
    settings["temperature"] = calibrate("mlp", _arrays(network), settings, rows, codes)

    everything = np.ones(len(codes), bool)
    last_epochs = max(1, round(LAST_SHARE * params.epochs))
    _train(keras, network, rows, codes, everything, epochs=last_epochs, rate=LAST_LEARNING_RATE)
    return _arrays(network), settings


def _network(keras: Any, params: blocks.MlpHead, *, dimensions: int, labels: int) -> Any:
    layers = keras.layers
    return keras.Sequential(
        [
            layers.Input((dimensions,)),
            layers.Dense(params.hidden, activation="relu"),
            layers.Dropout(params.dropout),
            layers.Dense(labels),
        ]
    )


def _train(
    keras: Any,
    network: Any,
    rows: TrainingRows,
    codes: Int64,
    chosen: Bool,
    *,
    epochs: int,
    rate: float,
) -> None:
    """Run Adam over the rows `chosen`, at a rate that falls from `rate` to 0."""
    steps = epochs * -(-int(chosen.sum()) // BATCH)
    network.compile(
        optimizer=keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(rate, steps)),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    weights = fitting_weights(rows)[chosen].astype(np.float32)
    network.fit(
        rows.vectors[chosen],
        codes[chosen],
        sample_weight=weights,
        batch_size=BATCH,
        epochs=epochs,
        verbose=0,
    )


def _arrays(network: Any) -> dict[str, AnyArray]:
    names = ("hidden_weights", "hidden_bias", "weights", "bias")
    return {
        name: np.array(array, np.float32)
        for name, array in zip(names, network.get_weights(), strict=True)
    }


def import_keras() -> Any:
    """Import Keras on TensorFlow: quiet, on one thread, with operations that repeat bit for bit."""
    for name, value in {**_ENVIRONMENT, "KERAS_BACKEND": "tensorflow"}.items():
        os.environ.setdefault(name, value)
    with nullcontext() if "tensorflow" in sys.modules else quiet():
        import keras
        import tensorflow as tf
    # RuntimeError: the process has used TensorFlow before and keeps its threads.
    with suppress(RuntimeError):
        tf.config.threading.set_intra_op_parallelism_threads(1)
        tf.config.threading.set_inter_op_parallelism_threads(1)
    tf.config.experimental.enable_op_determinism()
    return keras
