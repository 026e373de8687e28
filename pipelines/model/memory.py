"""A classifier's evidence about single phrases, mixed with a head's probabilities.

A linear head cannot hold one phrase against its near neighbours. The memory can: for a phrase
that had labels of its own, `probability = head_share * head + weights`.
"""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.errors import HeadRefused

FORMAT = 1
_KINDS = {
    "hashes": "uint64",
    "head_shares": "float32",
    "starts": "int64",
    "codes": "uint16",
    "weights": "float32",
}


@dataclass(frozen=True, eq=False)
class Memory:
    """One revision of a classifier's memory.

    Attributes
    ----------
    labels : what `codes` number
    hashes : uint64 (n,), ascending: `phrase_hash` of every phrase that had a label
    head_shares : float32 (n,) in (0, 1], what is left to the head
    starts : int64 (n + 1,), where each phrase's entries of `codes` and `weights` begin
    codes, weights : uint16 and float32 (k,); of one phrase, weights and head share sum to 1
    enabled : False where the memory lost against the head alone: it then only tells new phrases
    weighing : number of the rules by which the labels were weighed; the first release had 1
    """

    classifier: str
    revision: int
    labels: tuple[str, ...]
    hashes: NDArray[np.uint64]
    head_shares: NDArray[np.float32]
    starts: NDArray[np.int64]
    codes: NDArray[np.uint16]
    weights: NDArray[np.float32]
    enabled: bool = True
    weighing: int = 1

    @cached_property
    def _place_of(self) -> dict[int, int]:
        """A dictionary costs 0.1 us for a phrase; a binary search through numpy 3 us."""
        return {value: place for place, value in enumerate(self.hashes.tolist())}

    def place(self, cleaned: str) -> int | None:
        """Where the phrase stands; None for one that is new."""
        return self._place_of.get(phrase_hash(cleaned))

    def evidence(self, place: int) -> tuple[float, dict[str, float]]:
        """The head's share and the weight of each label of the phrase at `place`."""
        span = slice(self.starts[place], self.starts[place + 1])
        named = [self.labels[code] for code in self.codes[span].tolist()]
        return float(self.head_shares[place]), dict(
            zip(named, self.weights[span].tolist(), strict=True)
        )


@dataclass(frozen=True, eq=False)
class AppliedMemory:
    """A memory beside one head: `labels` are the head's and, behind them, those that it lacks."""

    memory: Memory
    labels: tuple[str, ...]
    columns: NDArray[np.int64]

    @classmethod
    def beside(cls, memory: Memory, head_labels: Sequence[str]) -> AppliedMemory:
        own = set(head_labels)
        labels = (*head_labels, *(label for label in memory.labels if label not in own))
        column_of = {label: column for column, label in enumerate(labels)}
        columns = np.array([column_of[label] for label in memory.labels], np.int64)
        return cls(memory, labels, columns)

    def knows(self, cleaned: str) -> bool:
        """Return True when the phrase had a label."""
        return self.memory.place(cleaned) is not None

    def apply(
        self, cleaned: Sequence[str], probabilities: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """float32 (n, labels): the head's probabilities where nothing is known of a phrase.

        `probabilities` (n, labels of the head) is not changed.
        """
        rows, own = probabilities.shape
        mixed = np.zeros((rows, len(self.labels)), probabilities.dtype)  # np.pad costs 15 us
        mixed[:, :own] = probabilities
        if not self.memory.enabled:
            return mixed
        for row, phrase in enumerate(cleaned):
            place = self.memory.place(phrase)
            if place is not None:
                span = slice(self.memory.starts[place], self.memory.starts[place + 1])
                mixed[row] *= self.memory.head_shares[place]
                mixed[row, self.columns[self.memory.codes[span]]] += self.memory.weights[span]
        return mixed


def phrase_hash(cleaned: str) -> int:
    """The first 8 bytes of BLAKE2b: of a million phrases, two share one with a chance of 3e-8."""
    return int.from_bytes(hashlib.blake2b(cleaned.encode(), digest_size=8).digest(), "big")


def heaviest_labels(memory: Memory) -> dict[int, tuple[str, float]]:
    """Return hash -> the label with the largest weight and that weight, of every phrase."""
    if not len(memory.hashes):
        return {}
    phrase_of = np.repeat(np.arange(len(memory.hashes)), np.diff(memory.starts))
    order = np.lexsort((-memory.weights, phrase_of))
    heaviest = order[memory.starts[:-1]]
    named = [memory.labels[code] for code in memory.codes[heaviest].tolist()]
    weighed = zip(named, memory.weights[heaviest].tolist(), strict=True)
    return dict(zip(memory.hashes.tolist(), weighed, strict=True))


def changed_hashes(before: Memory | None, after: Memory) -> set[int]:
    """Hashes of the phrases whose evidence differs between two revisions."""
    old = _rows_by_hash(before) if before is not None else {}
    new = _rows_by_hash(after)
    return {value for value in old.keys() | new.keys() if old.get(value) != new.get(value)}


def _rows_by_hash(memory: Memory) -> dict[int, tuple[float, bytes, tuple[str, ...]]]:
    rows = {}
    for place, value in enumerate(memory.hashes.tolist()):
        span = slice(memory.starts[place], memory.starts[place + 1])
        labels = tuple(memory.labels[code] for code in memory.codes[span].tolist())
        rows[value] = (
            float(memory.head_shares[place]) if memory.enabled else 1.0,
            memory.weights[span].tobytes() if memory.enabled else b"",
            labels if memory.enabled else (),
        )
    return rows


def save_memory(memory: Memory, folder: Path) -> str:
    """Write both files; equal memories give equal bytes. Return the digest, "sha256:..."."""
    folder.mkdir(parents=True, exist_ok=True)
    packed = _pack(memory)
    manifest = {
        "format": FORMAT,
        "classifier": memory.classifier,
        "revision": memory.revision,
        "labels": list(memory.labels),
        "enabled": memory.enabled,
        "weighing": memory.weighing,
    }
    digest = _digest(manifest, packed)
    (folder / "memory.npz").write_bytes(packed)
    text = json.dumps({**manifest, "digest": digest}, indent=1, sort_keys=True, ensure_ascii=False)
    (folder / "memory.json").write_text(text + "\n", encoding="utf-8")
    return digest


def load_memory(folder: Path, *, digest: str) -> Memory:
    """Read a memory of this digest; raise `HeadRefused` for files that are not those written."""
    try:
        manifest = json.loads((folder / "memory.json").read_text(encoding="utf-8"))
        packed = (folder / "memory.npz").read_bytes()
    except OSError as error:
        raise _refused(folder, f"{error.filename}: {error.strerror}") from None
    except ValueError as error:
        raise _refused(folder, f"a manifest that is not JSON ({error})") from None

    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise _refused(folder, "a manifest of another format")
    actual = _digest({key: value for key, value in manifest.items() if key != "digest"}, packed)
    if actual != digest:
        raise _refused(folder, f"content of digest {actual} instead of {digest}")

    arrays = _unpack(folder, packed)
    memory = Memory(
        classifier=manifest["classifier"],
        revision=manifest["revision"],
        labels=tuple(manifest["labels"]),
        enabled=manifest["enabled"],
        weighing=manifest.get("weighing", 1),
        **arrays,
    )

    if problem := _misfit(memory):
        raise _refused(folder, problem)
    return memory


def _pack(memory: Memory) -> bytes:
    buffer = io.BytesIO()
    arrays: Mapping[str, Any] = {name: getattr(memory, name) for name in sorted(_KINDS)}
    np.savez_compressed(buffer, allow_pickle=False, **arrays)
    return buffer.getvalue()


def _unpack(folder: Path, packed: bytes) -> dict[str, Any]:
    try:
        with np.load(io.BytesIO(packed), allow_pickle=False) as stored:
            return {name: stored[name] for name in _KINDS}
    except (ValueError, KeyError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise _refused(folder, f"unreadable arrays ({error})") from None


def _misfit(memory: Memory) -> str | None:
    """What keeps the arrays from being a memory, in one clause; None when nothing does."""
    for name, kind in _KINDS.items():
        if getattr(memory, name).dtype != kind:
            return f"{name} of {getattr(memory, name).dtype}"
    phrases = len(memory.hashes)
    if len(memory.head_shares) != phrases or len(memory.starts) != phrases + 1:
        return "arrays of different lengths"
    if len(memory.codes) != len(memory.weights) or int(memory.starts[-1]) != len(memory.codes):
        return "entries that do not fit the phrases"
    if len(memory.codes) and int(memory.codes.max()) >= len(memory.labels):
        return "an entry without a label"
    if not (np.isfinite(memory.weights).all() and np.isfinite(memory.head_shares).all()):
        return "numbers that are not finite"
    return None


def _digest(manifest: Mapping[str, Any], packed: bytes) -> str:
    text = json.dumps(manifest, sort_keys=True, ensure_ascii=True)
    return "sha256:" + hashlib.sha256(text.encode() + b"\n" + packed).hexdigest()


def _refused(folder: Path, came: str) -> HeadRefused:
    do = "renew it: `perennial remember`"
    return HeadRefused(f"a memory in {folder}", came=came, do=do)
