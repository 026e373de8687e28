"""Retires the classifiers that answered a question before its present ones.

A question changes its classifiers when a block becomes lines of versions, when lines become one
block again, and when a region leaves `lines`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from core.contracts import ModelVersion
from core.errors import HeadRefused
from core.logs import get_logger
from flows.context import LoopContext
from pipelines.model.head_file import load_head
from pipelines.promotion import retire


def retire_replaced(context: LoopContext, classifier: str, *, now: datetime) -> list[str]:
    """Retire what else answers the question of a classifier that was just promoted.

    Nothing ends before every classifier that params.yaml has for the question has a champion.
    Returns the names that were retired.
    """
    params = context.params
    if classifier not in params.classifiers:
        return []
    question = params.classifier(classifier).question(classifier)
    champions = context.champions()
    present = {name for name, own in params.classifiers.items() if own.question(name) == question}
    if present - champions.keys():
        return []

    replaced = [
        name
        for name, champion in sorted(champions.items())
        if name not in params.classifiers and question in _questions(champion)
    ]

    why = f"replaced by {', '.join(sorted(present))}"
    for name in replaced:
        retire(context.engine, name, why=why, now=now)
        get_logger().info("retired", classifier=name, why=why)
    return replaced


def _questions(champion: ModelVersion) -> Iterator[str]:
    """Yield the classifier's own name, and the question that its head is a line of."""
    yield champion.classifier
    with suppress(HeadRefused):
        line = load_head(Path(champion.head_location)).line
        if line is not None:
            yield line.of
