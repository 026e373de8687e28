# ruff: noqa: F811  fixtures of a sibling
"""What a killed retraining left in MLflow, and a version that MLflow does not know."""

from __future__ import annotations

import shutil
from pathlib import Path

from mlflow import MlflowClient
from sqlalchemy.engine import Engine

from pipelines.model.digests import write_digest
from pipelines.model.head_file import head_digest
from pipelines.model_store import store_version, stored_version
from pipelines.promotion import promote
from pipelines.recovery import finish_or_forget
from pipelines.registry import Registry
from tests.integration.test_registry import (  # noqa: F401
    NOW,
    classifier,
    deployed,
    mlflow,
    register,
    registry,
    trained,
)


def test_what_a_killed_retraining_left_is_finished_when_its_head_is_kept_and_else_forgotten(
    registry: Registry, mlflow: MlflowClient, classifier: str, tmp_path: Path
) -> None:
    models = tmp_path / "models"
    whole = register(registry, classifier, tmp_path, "1")
    experiment = mlflow.get_experiment_by_name(classifier)
    assert experiment is not None
    run = mlflow.create_run(experiment.experiment_id).info.run_id
    model, evaluation = trained(tmp_path / "training-3", "3")
    tags = {"head_digest": head_digest(model)}
    _, kept = (
        registry.register(classifier, run_id=run, tags={**tags, "run": name})
        for name in ("headless", "kept")
    )
    store_version(models, classifier=classifier, version=kept, model=model, evaluation=evaluation)
    (models / classifier / ".4.1.part").mkdir()
    finish_or_forget(registry, models, classifier)
    assert (registry.unfinished(classifier), registry.version_of(classifier, "kept")) == ([], kept)
    assert {
        str(version.version) for version in mlflow.search_model_versions(f"name = '{classifier}'")
    } == {whole.version, kept}
    assert sorted(folder.name for folder in (models / classifier).iterdir()) == [
        whole.version,
        kept,
    ]
    assert mlflow.get_run(run).info.status == "KILLED"


def test_another_head_under_the_number_of_an_unfinished_version_does_not_finish_it(
    registry: Registry, mlflow: MlflowClient, classifier: str, tmp_path: Path
) -> None:
    """The model store of another MLflow: a retraining must not take that head for its own."""
    models = tmp_path / "models"
    (old, evaluation) = trained(tmp_path / "old", "1")
    (new, _) = trained(tmp_path / "new", "2")
    store_version(models, classifier=classifier, version="1", model=old, evaluation=evaluation)
    with registry.run(classifier, name="run", tags={}) as run:
        version = registry.register(
            classifier, run_id=run, tags={"run": "refused", "head_digest": head_digest(new)}
        )
    finish_or_forget(registry, models, classifier)
    assert (version, registry.versions(classifier), registry.aliases(classifier)) == ("1", [], {})
    assert head_digest(models / classifier / "1") == head_digest(old)


def test_a_version_that_mlflow_does_not_know_gets_no_alias_and_still_answers(
    engine: Engine, registry: Registry, classifier: str, tmp_path: Path
) -> None:
    promote(
        engine,
        registry,
        known := register(registry, classifier, tmp_path, "1"),
        why="first",
        now=NOW,
    )
    shutil.copytree(known.head_location, tmp_path / "models" / classifier / "99")
    write_digest(tmp_path / "models" / classifier / "99", known.head_digest)
    unknown = stored_version(tmp_path / "models", classifier=classifier, version="99")
    promote(engine, registry, unknown, why="by hand", now=NOW)
    assert deployed(engine, classifier) == ["1", "99"]
    assert registry.aliases(classifier) == {"candidate": "1", "champion": "1", "previous": "1"}
