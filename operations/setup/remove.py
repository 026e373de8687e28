"""Removes a classifier: its block, a query of its own, its schedules and its route."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from core.files import replacing
from core.params.edits import read_params, remove_block
from flows.context import LoopContext
from machine.supervision import connect_supervisor
from pipelines.git_repository import can_give_back
from pipelines.promotion import retire


@dataclass(frozen=True)
class Removal:
    """What was removed.

    Attributes
    ----------
    query : the query file that was removed, "" when none was: another block uses it, or `kept`
    kept : the query file that stays because git cannot give it back, "" for none
    champion : the version that answered, "" when none did; several for a block of lines
    running : whether `perennial up` still has its schedules
    """

    classifier: str
    query: str
    kept: str
    champion: str
    running: bool


def remove(context: LoopContext, name: str, *, now: datetime) -> Removal:
    """Remove the classifier from params.yaml, and end its roles; with `by`, all lines of the block.

    Its versions, answers, feedback and decisions stay, and so does a query that is not committed.
    Raises `UnknownClassifier`, and `ParamsError` for the only classifier.
    """
    repository = context.settings.repository
    names = context.params.named(name)
    query = context.params.classifier(names[0]).source.query
    path = repository / "params.yaml"
    text = remove_block(path.read_text(encoding="utf-8"), name)
    others = read_params(text).classifiers.values()
    is_shared = any(block.source.query == query for block in others)
    is_own = not is_shared and (repository / query).exists()
    is_removed = is_own and can_give_back(repository, query)

    ended = [retire(context.engine, own, why="removed from params.yaml", now=now) for own in names]
    with replacing(path) as part:
        part.write_text(text, encoding="utf-8")
    if is_removed:
        (repository / query).unlink()
    return Removal(
        classifier=name,
        query=query if is_removed else "",
        kept=query if is_own and not is_removed else "",
        champion=", ".join(champion.version for champion in ended if champion),
        running=connect_supervisor(context.settings) is not None,
    )
