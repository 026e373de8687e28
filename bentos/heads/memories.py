"""The newest memory of each classifier: loaded by the poll, applied beside every version."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from bentos.heads.loading import LiveModel
from core.errors import HeadRefused
from core.logs import get_logger
from core.memory_revisions import MemoryRevision
from pipelines.model.memory import AppliedMemory, Memory, changed_hashes, load_memory


@dataclass(frozen=True, eq=False)
class NewMemory:
    """A loaded revision, and the hashes of the phrases whose evidence it changes."""

    memory: Memory
    changed: frozenset[int]


class LiveMemories:
    """What stands beside the heads now. For one event loop.

    A memory belongs to the classifier: champion, canary, shadow and versions requested by number
    all answer with the newest.
    """

    def __init__(self) -> None:
        self._newest: dict[str, Memory] = {}
        self._applied: dict[tuple[str, str], AppliedMemory] = {}

    @property
    def revisions(self) -> dict[str, int]:
        """Classifier -> the number of its revision."""
        return {name: memory.revision for name, memory in self._newest.items()}

    def beside(self, live: LiveModel) -> AppliedMemory | None:
        """Return the memory for this version's labels; the same object until a swap."""
        model = live.model
        memory = self._newest.get(model.classifier)
        if memory is None:
            return None
        key = (model.classifier, model.identity)
        if key not in self._applied:
            self._applied[key] = AppliedMemory.beside(memory, live.labels)
        return self._applied[key]

    def swap(self, memory: Memory) -> None:
        """Answer with this revision from now on."""
        self._newest[memory.classifier] = memory
        stale = [key for key in self._applied if key[0] == memory.classifier]
        for key in stale:
            del self._applied[key]


@dataclass
class MemoryFollower:
    """Follows `memory_revision` for the classifiers for which `serves` returns true.

    Runs in the thread of the poll. `hand_over` takes each new revision to the event loop. A
    revision whose files are not those recorded is refused: the one before goes on answering, the
    refusal is logged once, and the next revision is tried.
    """

    home: Path
    hand_over: Callable[[NewMemory], None]
    serves: Callable[[str], bool] = lambda classifier: True
    refused: set[tuple[str, int]] = field(default_factory=set)
    _loaded: dict[str, Memory] = field(default_factory=dict)

    def refresh(self, revisions: Mapping[str, MemoryRevision]) -> None:
        """Load the revisions that are new."""
        for name, revision in revisions.items():
            before = self._loaded.get(name)
            is_new = before is None or before.revision != revision.revision
            if self.serves(name) and is_new and (name, revision.revision) not in self.refused:
                self._take(revision, before)

    def _take(self, revision: MemoryRevision, before: Memory | None) -> None:
        name = revision.classifier
        try:
            memory = load_memory(self.home / revision.location, digest=revision.digest)
        except HeadRefused as error:
            self.refused.add((name, revision.revision))
            get_logger().error(
                "memory refused", classifier=name, revision=revision.revision, error=str(error)
            )
            return
        self._loaded[name] = memory
        self.hand_over(NewMemory(memory, frozenset(changed_hashes(before, memory))))
        get_logger().info("live memory", classifier=name, revision=revision.revision)
