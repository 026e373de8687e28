"""A head is arrays and a manifest: `head.npz` and `head.json`, tied by one digest. Never pickle."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from core.errors import HeadRefused
from pipelines.model.scoring import Scorer, make_scorer, misfit, softmax

FORMAT = "perennial-head-1"


@dataclass(frozen=True, eq=False)
class Head:
    """Vector and hashed n-grams to label probabilities.

    `arrays` by name, as `scoring.misfit` checks; always holds `centroids`, float16 (labels, d), unit length.
    `settings` holds the few numbers that applying the head needs.
    """

    kind: str
    labels: tuple[str, ...]
    embedder_id: str
    arrays: Mapping[str, np.ndarray]
    settings: Mapping[str, float] = field(default_factory=dict)

    def probabilities(self, cleaned: Sequence[str], vectors: np.ndarray) -> np.ndarray:
        """float32 (n, labels); rows sum to 1. `vectors` are the embeddings of `cleaned`."""
        return (
            softmax(self._score(cleaned, vectors))
            if len(cleaned)
            else np.empty((0, len(self.labels)), np.float32)
        )

    @cached_property
    def centroids(self) -> np.ndarray:
        """float32 (labels, d)."""
        return self.arrays["centroids"].astype(np.float32)

    @cached_property
    def _score(self) -> Scorer:
        return make_scorer(self.kind, self.arrays, self.settings)


def save_head(head: Head, folder: Path) -> str:
    """Write both files; equal heads give equal bytes. Return the digest, "sha256:..."."""
    folder.mkdir(parents=True, exist_ok=True)
    packed = _pack(head.arrays)
    manifest = {
        "format": FORMAT,
        "kind": head.kind,
        "embedder_id": head.embedder_id,
        "labels": list(head.labels),
        "settings": dict(head.settings),
        "arrays": {
            name: {"dtype": str(array.dtype), "shape": list(array.shape)}
            for name, array in sorted(head.arrays.items())
        },
    }
    digest = _digest(manifest, packed)
    (folder / "head.npz").write_bytes(packed)
    (folder / "head.json").write_text(
        json.dumps({**manifest, "digest": digest}, indent=1, sort_keys=True, ensure_ascii=False)
        + "\n",
        encoding="utf-8",
    )
    return digest


def load_head(folder: Path) -> Head:
    """Read a head; raise `HeadRefused` when digest, format, labels, shapes or numbers are not those of a head."""
    manifest, packed = _read(folder)
    _verify(folder, manifest, packed)
    if came := _misfit_manifest(manifest):
        raise _refused(folder, came)
    head = Head(
        manifest["kind"],
        tuple(manifest["labels"]),
        manifest["embedder_id"],
        _unpack(folder, packed),
        manifest["settings"],
    )
    _check_arrays(folder, head, manifest["arrays"])
    return head


def _misfit_manifest(manifest: Mapping[str, Any]) -> str | None:
    """What keeps this from describing a head, in one clause; None when nothing does."""
    for name, wanted in {
        "kind": str,
        "embedder_id": str,
        "labels": list,
        "settings": dict,
        "arrays": dict,
    }.items():
        if not isinstance(manifest.get(name), wanted):
            return (
                f"a manifest without {name}"
                if name not in manifest
                else f"{name} of {str(manifest[name])[:40]!r}"
            )
    labels = manifest["labels"]
    if (
        not labels
        or not all(isinstance(label, str) for label in labels)
        or len(set(labels)) < len(labels)
    ):
        return "labels that are not distinct texts"
    return None


def head_digest(folder: Path) -> str:
    """The digest of what lies in the folder; raise `HeadRefused` when it is not the one written in the manifest."""
    manifest, packed = _read(folder)
    return _verify(folder, manifest, packed)


def _pack(arrays: Mapping[str, np.ndarray]) -> bytes:
    buffer = io.BytesIO()
    np.savez_compressed(
        buffer, allow_pickle=False, **{name: arrays[name] for name in sorted(arrays)}
    )
    return buffer.getvalue()


def _unpack(folder: Path, packed: bytes) -> dict[str, np.ndarray]:
    try:
        with np.load(io.BytesIO(packed), allow_pickle=False) as stored:
            return {name: stored[name] for name in stored.files}
    except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise _refused(folder, f"unreadable arrays ({error})") from None


def _digest(manifest: Mapping[str, Any], packed: bytes) -> str:
    said = json.dumps(
        {key: value for key, value in manifest.items() if key != "digest"},
        sort_keys=True,
        ensure_ascii=True,
    )
    return "sha256:" + hashlib.sha256(said.encode() + b"\n" + packed).hexdigest()


def _read(folder: Path) -> tuple[dict[str, Any], bytes]:
    try:
        manifest, packed = (
            json.loads((folder / "head.json").read_text(encoding="utf-8")),
            (folder / "head.npz").read_bytes(),
        )
    except OSError as error:
        raise _refused(folder, f"{error.filename}: {error.strerror}") from None
    except ValueError as error:
        raise _refused(folder, f"a manifest that is no JSON ({error})") from None
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise _refused(
            folder, f"format {manifest.get('format') if isinstance(manifest, dict) else manifest!r}"
        )
    return manifest, packed


def _verify(folder: Path, manifest: Mapping[str, Any], packed: bytes) -> str:
    found = _digest(manifest, packed)
    if manifest.get("digest") != found:
        raise _refused(
            folder, f"content of digest {found}, manifest of digest {manifest.get('digest')}"
        )
    return found


def _check_arrays(folder: Path, head: Head, said: Any) -> None:
    found = {
        name: {"dtype": str(array.dtype), "shape": list(array.shape)}
        for name, array in head.arrays.items()
    }
    if found != said:
        raise _refused(folder, "arrays other than the manifest names")
    if came := misfit(head.kind, head.arrays, head.settings, labels=len(head.labels)):
        raise _refused(folder, came)


def _refused(folder: Path, came: str) -> HeadRefused:
    return HeadRefused(
        f"a head file in {folder}", came=came, do="train again, or restore it with `dvc checkout`"
    )


def load_checked(folder: Path, *, digest: str) -> Head:
    """Load a head whose file has this digest, or raise `HeadRefused`."""
    found = head_digest(folder)
    if found != digest:
        raise HeadRefused(
            f"a head of digest {digest} in {folder}",
            came=f"digest {found}",
            do="restore the head file, or roll back",
        )
    return load_head(folder)
