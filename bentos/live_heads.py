"""The heads that answer now: cold from the bento, then whatever `deployment` says, swapped by one assignment."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

import msgspec
import numpy as np

from core.contracts import Deployment, ModelVersion, Role
from core.errors import HeadRefused
from core.logs import get_logger
from pipelines.model.classifier import PhraseClassifier
from pipelines.model.head_file import Head, head_digest, load_head

COLD_FILE = "heads.json"

ReadChampions = Callable[[], Mapping[str, Deployment]]


@dataclass(frozen=True, slots=True)
class LiveModel:
    """A loaded version and the role it plays."""

    model: ModelVersion
    role: Role
    classifier: PhraseClassifier
    labels: tuple[str, ...]


@dataclass
class HeadCounts:
    """What the poll did since the start of this process."""

    swaps: int = 0
    refusals: int = 0


@dataclass
class LiveHeads:
    """`current` maps classifier to live model; it is never changed, only replaced, so a request that took one keeps it.

    A head that is corrupt, has another digest than its row, belongs to another embedder or gives no probabilities is
    refused, logged once and looked at again with every poll; the last good one stays. `prepare` is called with a loaded version
    before it takes traffic.
    """

    embedder_id: str
    home: Path
    prepare: Callable[[LiveModel], None] = lambda live: None
    counts: HeadCounts = field(default_factory=HeadCounts)
    current: Mapping[str, LiveModel] = field(default_factory=lambda: MappingProxyType({}))
    _refused: set[ModelVersion] = field(default_factory=set)

    def start_cold(self, folder: Path) -> None:
        """Load the heads that came with the bento."""
        self._follow({model.classifier: (model, "champion") for model in read_cold(folder)})

    def refresh(self, read: ReadChampions) -> None:
        """Look at `deployment` once. Raises what `read` raises; the last known state stays."""
        self._follow({name: (entry.model, entry.role) for name, entry in read().items()})

    def _follow(self, wanted: Mapping[str, tuple[ModelVersion, Role]]) -> None:
        changed = {name: live for name, (model, role) in wanted.items() if (live := self._changed(name, model, role)) is not None}
        if changed:
            self.current = MappingProxyType({**self.current, **changed})
            self.counts.swaps += len(changed)

    def _changed(self, name: str, model: ModelVersion, role: Role) -> LiveModel | None:
        current = self.current.get(name)
        if current is not None and (current.model.version, current.model.head_digest) == (model.version, model.head_digest):
            return None
        try:
            live = self._load(model, role)
        except HeadRefused as error:
            self._refuse(model, error)
            return None
        self._refused.discard(model)
        self.prepare(live)
        get_logger().info("live head", classifier=name, version=model.version, before=current.model.version if current else None)
        return live

    def _load(self, model: ModelVersion, role: Role) -> LiveModel:
        head = load_checked(self.home / model.head_location, digest=model.head_digest)
        for found in (model.embedder_id, head.embedder_id):
            if found != self.embedder_id:
                do = "serve a bento built with that embedder"
                raise HeadRefused(f"a head for embedder {self.embedder_id}", came=f"one for {found}", do=do)
        try_out(head)
        return LiveModel(model, role, PhraseClassifier(head, _embedded_elsewhere), head.labels)

    def _refuse(self, model: ModelVersion, error: HeadRefused) -> None:
        if model not in self._refused:
            self._refused.add(model)
            self.counts.refusals += 1
            get_logger().error("head refused", classifier=model.classifier, version=model.version, error=str(error))


def load_checked(folder: Path, *, digest: str) -> Head:
    """Load a head whose file has this digest, or raise `HeadRefused`."""
    found = head_digest(folder)
    if found != digest:
        raise HeadRefused(f"a head of digest {digest} in {folder}", came=f"digest {found}", do="restore the head file, or roll back")
    return load_head(folder)


def try_out(head: Head) -> None:
    """Answer once before taking traffic: this also does the imports and preparations that the first request would wait for.

    Raises `HeadRefused` when the answer is no distribution over the labels.
    """
    vectors = np.full((1, head.arrays["centroids"].shape[1]), 0.01, np.float32)
    try:
        answer = head.probabilities(["a phrase"], vectors)
    except (ValueError, IndexError, KeyError) as error:
        raise HeadRefused("a head that answers", came=f"{type(error).__name__}: {error}", do="train again, or roll back") from None
    if answer.shape != (1, len(head.labels)) or not abs(float(answer.sum()) - 1) < 1e-3:
        raise HeadRefused("probabilities that sum to 1", came=f"{answer.sum()} over {answer.shape}", do="train again, or roll back")


def read_cold(folder: Path) -> list[ModelVersion]:
    """The versions packed beside the service, with absolute locations; none when there is no list."""
    listed = folder / COLD_FILE
    if not listed.exists():
        return []
    packed = msgspec.json.decode(listed.read_bytes(), type=list[ModelVersion])
    return [_absolute(model, folder) for model in packed]


def write_cold(folder: Path, models: list[ModelVersion]) -> None:
    """List packed versions; `head_location` is relative to the folder."""
    (folder / COLD_FILE).write_bytes(msgspec.json.format(msgspec.json.encode(models), indent=2))


def _absolute(model: ModelVersion, folder: Path) -> ModelVersion:
    return ModelVersion(model.classifier, model.version, str(folder / model.head_location), model.head_digest, model.embedder_id)


def _embedded_elsewhere(_: Sequence[str]) -> np.ndarray:
    raise AssertionError("the classifier service embeds in the embedder service")
