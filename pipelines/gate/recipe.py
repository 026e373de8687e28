"""The champion's recipe, fitted again where the candidate's test rows are other ones."""

from __future__ import annotations

from dataclasses import dataclass

from core.params.heads import Favour
from core.params.heads import Head as HeadParams
from core.params.schema import Params
from pipelines.model.head_file import Head
from pipelines.model.heads import fit_heads
from pipelines.stages.train import training_rows
from pipelines.workspace import Workspace


@dataclass(frozen=True)
class Recipe:
    """How a version was fitted: its kind of head, the seed, and what it leans towards."""

    head: HeadParams
    seed: int
    favour: Favour = "weighted"


def changed_recipe(before: Params, now: Params, classifier: str) -> Recipe | None:
    """Return the champion's recipe when its head may have learnt the candidate's test rows.

    Which phrases test depends on the seed and on `test_days`. None when both are as they were.
    `before` are the params that the champion was trained with.
    """
    block = before.classifiers.get(classifier)
    if block is None:
        return None
    same_days = block.test_days == now.classifier(classifier).test_days
    if before.seed == now.seed and same_days:
        return None
    return Recipe(block.head, before.seed, block.favour)


def fit_recipe(workspace: Workspace, classifier: str, recipe: Recipe, embedder_id: str) -> Head:
    """Fit the recipe on the candidate's training rows; return the judged head."""
    rows = training_rows(classifier, root=workspace.folder)
    heads = fit_heads(
        recipe.head,
        training=rows,
        embedder_id=embedder_id,
        seed=recipe.seed,
        favour=recipe.favour,
    )
    return heads.judged
