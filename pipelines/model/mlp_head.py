"""Fits the perceptron head in Keras; the result is arrays, so applying it needs no TensorFlow."""

from __future__ import annotations

import os
import sys
from contextlib import nullcontext, suppress
from itertools import islice
from typing import Any

import numpy as np

from core.params import heads as blocks
from pipelines.model.arrays import AnyArray, Bool, Float32, Int64
from pipelines.model.calibration import calibrate
from pipelines.model.scoring import Fits
from pipelines.model.silence import quiet
from pipelines.model.training import TrainingRows, fitting_rows, fitting_weights

BATCH = 128
LEARNING_RATE = 5e-3
LAST_LEARNING_RATE = 1e-3
LAST_SHARE = 0.25
"""Epochs with all rows, as a share of those without the validation slice."""
PATIENCE = 5
"""Epochs without a lower loss on the validation slice after which the fit stops."""
_ENVIRONMENT = {
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "TF_ENABLE_ONEDNN_OPTS": "0",
    "CUDA_VISIBLE_DEVICES": "-1",
}


def fit_mlp(params: blocks.MlpHead, rows: TrainingRows, seed: int) -> Fits:
    """Fit without the validation slice, calibrate on it, continue with the training rows (the
    judged head), then with all (the served one)."""
    return islice(mlp_steps(params, rows, seed), 1, None)


def mlp_steps(params: blocks.MlpHead, rows: TrainingRows, seed: int) -> Fits:
    """Do what `fit_mlp` does; yield first the fit that lacks the validation slice."""
    keras = import_keras()
    keras.utils.set_random_seed(seed)
    part = rows.without_test()
    label_set, codes = np.unique(rows.labels, return_inverse=True)
    known = np.isin(label_set, part.labels)
    part_codes = np.searchsorted(label_set[known], part.labels)
    network = _network(keras, params, dimensions=rows.vectors.shape[1], labels=len(label_set))
    settings = {"temperature": 1.0}

    def train(rows: TrainingRows, chosen: Bool, epochs: int, rate: float, **watched: Bool) -> int:
        targets = np.searchsorted(label_set, rows.labels)
        return _train(
            keras,
            network,
            rows,
            targets,
            chosen,
            epochs=epochs,
            rate=rate,
            focal=params.focal,
            **watched,
        )

    fitting = fitting_rows(part, part_codes)
    epochs = train(part, fitting, params.epochs, LEARNING_RATE, held=~fitting)
    arrays = _arrays(network, known)
    settings["temperature"] = calibrate("mlp", arrays, settings, part, part_codes)
    yield arrays, settings

    last_epochs = max(1, round(LAST_SHARE * epochs))
    train(part, np.ones(len(part.labels), bool), last_epochs, LAST_LEARNING_RATE)
    yield _arrays(network, known), settings

    train(rows.with_test(), np.ones(len(codes), bool), last_epochs, LAST_LEARNING_RATE)
    yield _arrays(network, np.ones_like(known)), settings


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


def _loss(keras: Any, focal: float) -> Any:
    """Return cross-entropy; with `focal`, phrases that are already right count less."""
    if focal == 0:
        return keras.losses.SparseCategoricalCrossentropy(from_logits=True)

    def focal_loss(truth: Any, logits: Any) -> Any:
        codes = keras.ops.reshape(truth, (-1,))
        entropy = keras.ops.sparse_categorical_crossentropy(codes, logits, from_logits=True)
        return (1 - keras.ops.exp(-entropy)) ** focal * entropy

    return focal_loss


def _train(
    keras: Any,
    network: Any,
    rows: TrainingRows,
    codes: Int64,
    chosen: Bool,
    *,
    epochs: int,
    rate: float,
    focal: float = 0.0,
    held: Bool | None = None,
) -> int:
    """Run Adam over the rows `chosen`, at a rate that falls from `rate` to 0.

    With rows that are `held` back, stop when their loss no longer falls, and take the weights of
    the epoch where it was lowest. Return the number of epochs run.
    """
    steps = epochs * -(-int(chosen.sum()) // BATCH)
    network.compile(
        optimizer=keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(rate, steps)),
        loss=_loss(keras, focal),
        weighted_metrics=[],
    )
    weights = fitting_weights(rows).astype(np.float32)
    watched: dict[str, Any] = {}
    if held is not None and held.any():
        watched = _watch(keras, rows.vectors[held], codes[held], weights[held])
    history = network.fit(
        rows.vectors[chosen],
        codes[chosen],
        sample_weight=weights[chosen],
        batch_size=BATCH,
        epochs=epochs,
        verbose=0,
        **watched,
    )
    return len(history.epoch)


def _watch(keras: Any, vectors: Float32, codes: Int64, weights: Float32) -> dict[str, Any]:
    """Return the arguments of a fit that stops by the loss on these rows."""
    return {
        "validation_data": (vectors, codes, weights),
        "validation_batch_size": 1024,
        "callbacks": [
            keras.callbacks.EarlyStopping(patience=PATIENCE, restore_best_weights=True),
        ],
    }


def _arrays(network: Any, known: Bool) -> dict[str, AnyArray]:
    """Return the arrays of the head file for the labels that are `known`, bool (labels,)."""
    hidden_weights, hidden_bias, weights, bias = network.get_weights()
    arrays = {
        "hidden_weights": hidden_weights,
        "hidden_bias": hidden_bias,
        "weights": weights[:, known],
        "bias": bias[known],
    }
    return {name: np.array(array, np.float32) for name, array in arrays.items()}


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
