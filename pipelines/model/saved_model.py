"""The runtime `tensorflow`: SavedModels, fetched and loaded through TensorFlow Hub.

TensorFlow is imported when a function is called.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
from collections.abc import Callable, Sequence
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Any

import numpy as np

from core.errors import EmbedderUnusable
from pipelines.model.arrays import Float32
from pipelines.model.silence import quiet

_ENVIRONMENT = {
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "TF_ENABLE_ONEDNN_OPTS": "0",
    "CUDA_VISIBLE_DEVICES": "-1",
    "OMP_NUM_THREADS": "1",
}


def fetch_saved_model(handle: str, folder: Path) -> str:
    """Copy the SavedModel behind a path or TensorFlow Hub handle into `folder`.

    Returns
    -------
    Its embedder_id: a hash of the handle and the files.
    """
    hub = import_tensorflow()
    try:
        shutil.copytree(hub.resolve(handle), folder)
    except Exception as error:  # what a resolver raises depends on the kind of handle
        raise _unusable("a SavedModel folder or a TensorFlow Hub handle", handle, error) from error
    digest = hashlib.sha256(handle.encode())
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        name = str(path.relative_to(folder)).encode()
        digest.update(name + b"\0" + hashlib.sha256(path.read_bytes()).digest())
    return f"hub-{digest.hexdigest()[:16]}"


def open_saved_model(location: str) -> Callable[[Sequence[str]], Float32]:
    """Load a SavedModel folder or TensorFlow Hub handle.

    Returns
    -------
    A function that calls the module itself, or its default signature.
    """
    module = _load(location)
    import tensorflow as tf

    function = module
    if not callable(module):
        function = getattr(module, "signatures", {}).get("serving_default")
    if function is None:
        raise EmbedderUnusable(
            "a model that can be called",
            came=f"{location}, which has neither a call nor a default signature",
            do="choose another handle",
        )

    def encode(cleaned: Sequence[str]) -> Float32:
        out = function(tf.constant(list(cleaned), tf.string))
        tensor = next(iter(out.values())) if isinstance(out, dict) else out
        return np.asarray(tensor)

    return encode


def import_tensorflow() -> Any:
    """Import TensorFlow quietly on one thread; return `tensorflow_hub`."""
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    # The C++ part writes to standard error before it reads TF_CPP_MIN_LOG_LEVEL.
    with nullcontext() if "tensorflow_hub" in sys.modules else quiet():
        import tensorflow as tf
        import tensorflow_hub as hub
        import tensorflow_text  # noqa: F401  registers the tokenizer's ops
    # RuntimeError: the process has used TensorFlow before and keeps its threads.
    with suppress(RuntimeError):
        tf.config.threading.set_intra_op_parallelism_threads(1)
        tf.config.threading.set_inter_op_parallelism_threads(1)
    return hub


def _load(location: str) -> Any:
    hub = import_tensorflow()
    try:
        return hub.load(location)
    except Exception as error:  # TensorFlow raises many kinds here
        raise _unusable(
            "a SavedModel folder or a TensorFlow Hub handle", location, error
        ) from error


def _unusable(wanted: str, location: str, error: Exception) -> EmbedderUnusable:
    line = (str(error).strip() or type(error).__name__).splitlines()[0][:300]
    return EmbedderUnusable(
        wanted,
        came=f"{location}: {line}",
        do="correct embedder.handle in params.yaml, or run `dvc repro embedder`",
    )
