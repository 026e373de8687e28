"""Which words made a logged answer likely, by the version that gave it.

The heads, the memory and the embedder of the last explanations are kept: loading them takes a
second, an explanation takes milliseconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from threading import Lock

from core.contracts import Inference, ModelVersion
from core.errors import HeadRefused
from core.memory_revisions import MemoryRevision
from flows.answering import open_embedder
from flows.context import LoopContext
from lineage.replay import (
    deployed_version,
    logged_rows,
    revision_that_answered,
    version_that_answered,
)
from pipelines.memory.store import recorded_memory
from pipelines.model.classifier import PhraseClassifier
from pipelines.model.embedder import Embed
from pipelines.model.explanation import Explanation, Step, answer_steps, explain
from pipelines.model.head_file import Head, load_checked
from pipelines.model.memory import Memory
from pipelines.model.training_phrases import TrainingPhrases, load_training_phrases

_EXPLAINING = Lock()
_EMBEDDERS: dict[Path, Embed] = {}
"""The last one: it takes some 100 MB."""


@dataclass(frozen=True)
class Reasons:
    """A logged answer and its explanation."""

    answer: Inference
    explanation: Explanation

    @property
    def steps(self) -> list[Step]:
        """What head, memory and pin made of the phrase, in order."""
        return answer_steps(self.explanation, pinned_label=self.answer.pinned_label)


def explain_answer(context: LoopContext, request_id: str) -> Reasons:
    """Return the answer of a request and its explanation, at most one at a time.

    Raises `UnknownRequest`, `HeadRefused` and `EmbedderUnusable`.
    """
    answer = logged_rows(context, request_id)[0]
    model = deployed_version(context, answer)
    revision = revision_that_answered(context, answer)
    with _EXPLAINING:
        head = _head_that_answered(context, answer, model)
        memory = None if revision is None else _memory(revision)
        classifier = PhraseClassifier(head, _embedder(context, model), memory=memory)
        phrases = _phrases(context.settings.models / model.classifier / model.version)
        return Reasons(answer, explain(classifier, answer.phrase, phrases=phrases))


def _head_that_answered(context: LoopContext, answer: Inference, model: ModelVersion) -> Head:
    """Return the head. Raises `HeadRefused`, which says how to restore it."""
    try:
        if model.embedder_id == answer.embedder_id:
            return _head(model)
    except HeadRefused:
        version_that_answered(context, answer)
        raise
    return _head(version_that_answered(context, answer))


@lru_cache(maxsize=4)
def _head(model: ModelVersion) -> Head:
    return load_checked(Path(model.head_location), digest=model.head_digest)


@lru_cache(maxsize=4)
def _memory(revision: MemoryRevision) -> Memory:
    return recorded_memory(revision)


@lru_cache(maxsize=4)
def _phrases(folder: Path) -> TrainingPhrases | None:
    return load_training_phrases(folder)


def _embedder(context: LoopContext, model: ModelVersion) -> Embed:
    folder = context.settings.embedders / model.embedder_id
    if folder not in _EMBEDDERS:
        embed = open_embedder(context.settings, model)
        _EMBEDDERS.clear()
        _EMBEDDERS[folder] = embed
    return _EMBEDDERS[folder]
