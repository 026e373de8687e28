"""A head as a file pair: arrays in `head.npz`, a manifest in `head.json`, one digest; no pickle."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from core.errors import HeadRefused
from pipelines.model.arrays import AnyArray, Float32
from pipelines.model.rules import Rule, apply_rules, misfit_rules
from pipelines.model.scoring import Arrays, Scorer, make_scorer, misfit, softmax

FORMAT = "perennial-head-1"
JUDGED = "judged"
"""Folder inside a head's folder: the head of the same fit that has not seen the test rows."""
_MANIFEST_TYPES: Mapping[str, type] = {
    "kind": str,
    "embedder_id": str,
    "labels": list,
    "settings": dict,
    "arrays": dict,
}


@dataclass(frozen=True, slots=True)
class Line:
    """The part of the question `of` that a version answers: rows whose column `by` is `value`."""

    of: str
    by: str
    value: str


@dataclass(frozen=True, eq=False)
class Head:
    """Maps a vector and hashed n-grams to label probabilities.

    `arrays`, by name, are those that `scoring.misfit` checks. `centroids` is always among them:
    float16 (labels, d), of unit length. `settings` holds the numbers that applying the head needs.
    `rules` decide the phrases that they match. `line` is None for a head of all rows.
    """

    kind: str
    labels: tuple[str, ...]
    embedder_id: str
    arrays: Arrays
    settings: Mapping[str, float] = field(default_factory=dict)
    rules: tuple[Rule, ...] = ()
    line: Line | None = None

    def probabilities(self, cleaned: Sequence[str], vectors: Float32) -> Float32:
        """Return float32 (n, labels), rows summing to 1. `vectors`, (n, d), embed `cleaned`."""
        if not len(cleaned):
            return np.empty((0, len(self.labels)), np.float32)
        probabilities = softmax(self.logits(cleaned, vectors))
        if not self.rules:
            return probabilities
        return apply_rules(self.rules, self.labels, cleaned, probabilities)

    def logits(self, cleaned: Sequence[str], vectors: Float32) -> Float32:
        """Return float32 (n, labels), before `softmax` and rules; for at least one phrase."""
        return self._score(cleaned, vectors)

    @cached_property
    def centroids(self) -> Float32:
        """The centroids as float32 (labels, d)."""
        return self.arrays["centroids"].astype(np.float32)

    @cached_property
    def _score(self) -> Scorer:
        return make_scorer(self.kind, self.arrays, self.settings)


def save_head(head: Head, folder: Path) -> str:
    """Write both files; equal heads give equal bytes.

    Returns
    -------
    The digest, "sha256:...".
    """
    folder.mkdir(parents=True, exist_ok=True)
    packed = _pack(head.arrays)
    manifest = {
        "format": FORMAT,
        "kind": head.kind,
        "embedder_id": head.embedder_id,
        "labels": list(head.labels),
        "settings": dict(head.settings),
        "arrays": _described(head.arrays),
        **({"rules": [asdict(rule) for rule in head.rules]} if head.rules else {}),
        **({"line": asdict(head.line)} if head.line else {}),
    }
    digest = _digest(manifest, packed)
    (folder / "head.npz").write_bytes(packed)
    text = json.dumps({**manifest, "digest": digest}, indent=1, sort_keys=True, ensure_ascii=False)
    (folder / "head.json").write_text(text + "\n", encoding="utf-8")
    return digest


def load_head(folder: Path) -> Head:
    """Read a head; raise `HeadRefused` when digest, format, labels, shapes or numbers are wrong."""
    manifest, packed = _read(folder)
    _verify(folder, manifest, packed)
    if problem := _misfit_manifest(manifest):
        raise _refused(folder, problem)
    head = Head(
        manifest["kind"],
        tuple(manifest["labels"]),
        manifest["embedder_id"],
        _unpack(folder, packed),
        manifest["settings"],
        tuple(Rule(**rule) for rule in manifest.get("rules", [])),
        Line(**manifest["line"]) if "line" in manifest else None,
    )
    _check_arrays(folder, head, manifest["arrays"])
    return head


def _misfit_manifest(manifest: Mapping[str, Any]) -> str | None:
    """Return why this does not describe a head, in one clause; None when it does."""
    for name, expected in _MANIFEST_TYPES.items():
        if name not in manifest:
            return f"a manifest without {name}"
        if not isinstance(manifest[name], expected):
            return f"{name} of {str(manifest[name])[:40]!r}"
    labels = manifest["labels"]
    texts = all(isinstance(label, str) for label in labels)
    if not labels or not texts or len(set(labels)) < len(labels):
        return "labels that are not distinct texts"
    line = manifest.get("line", {"of": "", "by": "", "value": ""})
    if not isinstance(line, dict) or sorted(line) != ["by", "of", "value"]:
        return f"a line of {str(line)[:40]!r}"
    return misfit_rules(manifest.get("rules", []), labels)


def head_digest(folder: Path) -> str:
    """Return the digest of the files; raise `HeadRefused` when the manifest records another."""
    manifest, packed = _read(folder)
    return _verify(folder, manifest, packed)


def _pack(arrays: Arrays) -> bytes:
    buffer = io.BytesIO()
    np.savez_compressed(
        buffer, allow_pickle=False, **{name: arrays[name] for name in sorted(arrays)}
    )
    return buffer.getvalue()


def _unpack(folder: Path, packed: bytes) -> dict[str, AnyArray]:
    try:
        with np.load(io.BytesIO(packed), allow_pickle=False) as stored:
            return {name: stored[name] for name in stored.files}
    except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise _refused(folder, f"unreadable arrays ({error})") from None


def _digest(manifest: Mapping[str, Any], packed: bytes) -> str:
    described = json.dumps(
        {key: value for key, value in manifest.items() if key != "digest"},
        sort_keys=True,
        ensure_ascii=True,
    )
    return "sha256:" + hashlib.sha256(described.encode() + b"\n" + packed).hexdigest()


def _read(folder: Path) -> tuple[dict[str, Any], bytes]:
    try:
        manifest = json.loads((folder / "head.json").read_text(encoding="utf-8"))
        packed = (folder / "head.npz").read_bytes()
    except OSError as error:
        raise _refused(folder, f"{error.filename}: {error.strerror}") from None
    except ValueError as error:
        raise _refused(folder, f"a manifest that is not valid JSON ({error})") from None
    if not isinstance(manifest, dict):
        raise _refused(folder, f"format {manifest!r}")
    if manifest.get("format") != FORMAT:
        raise _refused(folder, f"format {manifest.get('format')}")
    return manifest, packed


def _verify(folder: Path, manifest: Mapping[str, Any], packed: bytes) -> str:
    digest = _digest(manifest, packed)
    recorded = manifest.get("digest")
    if recorded != digest:
        raise _refused(folder, f"content of digest {digest}, manifest of digest {recorded}")
    return digest


def _check_arrays(folder: Path, head: Head, described: Any) -> None:
    if _described(head.arrays) != described:
        raise _refused(folder, "arrays other than the manifest names")
    if problem := misfit(head.kind, head.arrays, head.settings, labels=len(head.labels)):
        raise _refused(folder, problem)


def _described(arrays: Arrays) -> dict[str, dict[str, Any]]:
    """Return dtype and shape of each array, in the order of names."""
    return {
        name: {"dtype": str(array.dtype), "shape": list(array.shape)}
        for name, array in sorted(arrays.items())
    }


def _refused(folder: Path, problem: str) -> HeadRefused:
    return HeadRefused(
        f"a head file in {folder}",
        came=problem,
        do="train again, or restore it with `dvc checkout`",
    )


def judged_folder(folder: Path) -> Path:
    """Return where the head lies that test rows may judge.

    Versions of earlier releases have one head alone, which had not seen the test rows.
    """
    judged = folder / JUDGED
    return judged if judged.is_dir() else folder


def load_checked(folder: Path, *, digest: str) -> Head:
    """Load a head whose file has this digest, or raise `HeadRefused`."""
    actual = head_digest(folder)
    if actual != digest:
        raise HeadRefused(
            f"a head of digest {digest} in {folder}",
            came=f"digest {actual}",
            do="restore the head file, or roll back",
        )
    return load_head(folder)
