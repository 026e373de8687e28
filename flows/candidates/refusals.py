"""Reads what the gate compares of two versions that may refuse: their recent traffic."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
from sqlalchemy.engine import Connection

from core.contracts import ModelVersion
from core.tables.loop import inference
from flows.context import LoopContext
from monitoring.review.recent_log import routed
from pipelines.gate.answers import serving_respondent
from pipelines.gate.refusals import Refusals, count_refusals
from pipelines.model.abstention import load_abstention
from pipelines.model.arrays import Bool
from pipelines.model.classifier import PhraseClassifier
from pipelines.model.embedder import load_embedder
from pipelines.model.head_file import load_checked, load_head
from pipelines.model.registered_rule import load_promised
from pipelines.workspace import Workspace

RECENT_ANSWERS = 5_000
LEAST_ANSWERS = 100
"""With fewer recent answers, a share says nothing."""


def read_refusals(
    context: LoopContext, workspace: Workspace, champion: ModelVersion
) -> Refusals | None:
    """Refuse the phrases of the newest answers by candidate and champion.

    Each stands beside the memory of every row, as clients will be answered. None when neither
    version refuses anything, or when there are too few answers.
    """
    built = workspace.folder / "build" / "classifiers" / champion.classifier
    location = Path(champion.head_location)
    before = load_promised(location)
    after = load_abstention(built / "evaluation")
    if before is None and after is None:
        return None
    with context.engine.connect() as connection:
        recent = newest_phrases(connection, champion.classifier)
    if recent.total() < LEAST_ANSWERS:
        return None

    phrases = list(recent)
    embed = load_embedder(workspace.folder / "build" / "embedder")
    vectors = embed(phrases)
    memory = serving_respondent(workspace, champion.classifier).memory
    heads = load_checked(location, digest=champion.head_digest), load_head(built / "model")
    refused = [
        _refused(PhraseClassifier(head, lambda _: vectors, memory=memory, abstention=rule), phrases)
        for head, rule in zip(heads, (before, after), strict=True)
    ]
    return count_refusals(refused[0], refused[1], np.array([recent[text] for text in phrases]))


def newest_phrases(connection: Connection, classifier: str) -> Counter[str]:
    """Return the cleaned phrases of the newest client answers, with how often each came."""
    newest = (
        routed(classifier)
        .with_only_columns(inference.c.cleaned)
        .order_by(inference.c.sequence.desc())
        .limit(RECENT_ANSWERS)
    )
    return Counter(connection.scalars(newest))


def _refused(classifier: PhraseClassifier, phrases: list[str]) -> Bool:
    refused: Bool = np.array([answer.abstained for answer in classifier.predict(phrases, top=1)])
    return refused
