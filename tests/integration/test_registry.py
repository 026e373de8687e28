"""The registry on a real MLflow store: versions, verdicts, and aliases that follow `deployment`."""

from __future__ import annotations

import json
import uuid
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from mlflow import MlflowClient
from sqlalchemy.engine import Engine

from core.contracts import Deployment, ModelVersion, Verdict
from core.database import DatabaseUrls, with_driver
from core.deployments import append_deployment, current_champions, current_rollouts, history
from core.errors import HeadRefused, PerennialError, UnknownVersion
from core.tables.loop import decision
from pipelines.gate_metrics import gate_metrics
from pipelines.model.head_file import save_head
from pipelines.model_store import store_embedder, store_version, stored_version
from pipelines.promotion import play, promote, repair_aliases, roll_back
from pipelines.registry import CHECKS, Registry
from pipelines.stages.compare import logged_metrics
from tests.support.heads import EMBEDDER_ID, make_head

NOW = datetime(2026, 1, 1, tzinfo=UTC)
VERDICT = Verdict("promote", ("macro F1 rose by 0.02",), {"macro_f1": 0.91, "tolerance": 0.005})


@pytest.fixture
def registry(database: DatabaseUrls, tmp_path: Path) -> Registry:
    return Registry(with_driver(database.mlflow, "psycopg"), tmp_path / "mlartifacts")


@pytest.fixture
def mlflow(database: DatabaseUrls) -> MlflowClient:
    """A second look at the store, past the registry."""
    uri = with_driver(database.mlflow, "psycopg")
    return MlflowClient(uri, uri)


@pytest.fixture
def classifier() -> str:
    """A new name a test: the store lives as long as the session."""
    return f"organ_{uuid.uuid4().hex[:8]}"


def trained(folder: Path, number: str = "1") -> tuple[Path, Path]:
    """The folders `model` and `evaluation` that a training leaves."""
    save_head(make_head(number), folder / "model")
    (folder / "evaluation").mkdir(parents=True)
    for name in ("reference.parquet", "evaluation.json", "reliability.png"):
        (folder / "evaluation" / name).write_bytes(f"{name} {number}".encode())
    return folder / "model", folder / "evaluation"


def register(registry: Registry, classifier: str, tmp_path: Path, number: str) -> ModelVersion:
    """Train, log, register and store one version, as a retraining does."""
    model, evaluation = trained(tmp_path / f"training-{number}", number)
    with registry.run(classifier, name=f"run {number}", tags={"snapshot": f"data-{number}"}) as run:
        registry.log_evaluation(
            run,
            metrics={"macro_f1": 0.9},
            params={"kind": "logistic"},
            evaluation=evaluation,
            model=model,
        )
        registry.log_verdict(run, VERDICT)
        version = registry.register(classifier, run_id=run, tags={"git_tag": f"data-{number}"})
    stored = store_version(
        tmp_path / "models",
        classifier=classifier,
        version=version,
        model=model,
        evaluation=evaluation,
    )
    registry.complete(classifier, version)
    return stored


def test_heads_compared_are_metrics_and_a_table_of_the_run(
    registry: Registry, mlflow: MlflowClient, classifier: str, tmp_path: Path
) -> None:
    scores = {"chosen": "logistic", "heads": {"logistic C=3.0": {"weighted_f1": 0.9, "bytes": 500}}}
    for name, content in (("asked", scores), ("not asked", {**scores, "heads": {}})):
        (tmp_path / name).mkdir()
        (tmp_path / name / "scores.json").write_text(json.dumps(content))
        (tmp_path / name / "table.md").write_text("| head |")
        with registry.run(classifier, name=name, tags={}) as run:
            if compared := logged_metrics(tmp_path / name):
                registry.log_comparison(run, tmp_path / name, metrics=compared)
        logged = mlflow.get_run(run).data.metrics
        files = [file.path for file in mlflow.list_artifacts(run, "comparison")]
        asked = name == "asked"
        assert logged == (
            {"compare/logistic C 3.0/weighted_f1": 0.9, "compare/logistic C 3.0/bytes": 500}
            if asked
            else {}
        )
        assert files == (["comparison/scores.json", "comparison/table.md"] if asked else [])


def rollouts(engine: Engine, classifier: str) -> list[Any]:
    chosen = (
        sa.select(decision)
        .where(decision.c.classifier == classifier, decision.c.subject == "rollout")
        .order_by(decision.c.id)
    )
    with engine.connect() as connection:
        return list(connection.execute(chosen))


def deployed(engine: Engine, classifier: str) -> list[str]:
    with engine.connect() as connection:
        return [row.model.version for row in history(connection, classifier)]


def append_only(engine: Engine, model: ModelVersion) -> None:
    """What a promotion leaves that was killed before it reached MLflow."""
    with engine.begin() as connection:
        append_deployment(connection, Deployment(model, "champion", 1.0, NOW, "test"))


def test_versions_count_up_and_the_newest_is_the_candidate(
    registry: Registry, mlflow: MlflowClient, classifier: str, tmp_path: Path
) -> None:
    first, second = (register(registry, classifier, tmp_path, number) for number in ("1", "2"))
    assert (first.version, second.version) == ("1", "2")
    assert registry.aliases(classifier) == {"candidate": "2"}
    kept = [mlflow.get_model_version(classifier, version).tags for version in ("1", "2")]
    assert kept == [{"git_tag": f"data-{number}", "state": "complete"} for number in (1, 2)]


def test_a_tag_may_be_added_later(
    registry: Registry, mlflow: MlflowClient, classifier: str, tmp_path: Path
) -> None:
    version = register(registry, classifier, tmp_path, "1").version
    registry.tag(classifier, version, "bento", "perennial:1")
    assert mlflow.get_model_version(classifier, version).tags == {
        "git_tag": "data-1",
        "bento": "perennial:1",
        "state": "complete",
    }


def test_a_run_keeps_scores_params_and_tags(
    registry: Registry, mlflow: MlflowClient, classifier: str, tmp_path: Path
) -> None:
    version = register(registry, classifier, tmp_path, "1").version
    run = mlflow.get_run(str(mlflow.get_model_version(classifier, version).run_id))
    assert (run.info.status, run.info.run_name) == ("FINISHED", "run 1")
    assert run.data.metrics == {"macro_f1": 0.9, "gate/macro_f1": 0.91, "gate/tolerance": 0.005}
    assert run.data.params == {"kind": "logistic"}
    assert run.data.tags.items() >= {"snapshot": "data-1", "verdict": "promote"}.items()


def test_a_run_keeps_the_plots_the_head_and_the_gate_report_under_our_folder(
    registry: Registry, mlflow: MlflowClient, classifier: str, tmp_path: Path
) -> None:
    run = mlflow.get_model_version(
        classifier, register(registry, classifier, tmp_path, "1").version
    ).run_id
    kept = tmp_path / "mlartifacts" / classifier / str(run) / "artifacts"
    files = {str(file.relative_to(kept)) for file in kept.rglob("*") if file.is_file()}
    assert files >= {
        "evaluation/reliability.png",
        "evaluation/evaluation.json",
        "head/head.npz",
        "head/head.json",
        "gate.json",
    }
    report = json.loads((kept / "gate.json").read_text())
    assert report == {
        "verdict": "promote",
        "reasons": list(VERDICT.reasons),
        "evidence": dict(VERDICT.evidence),
    }


def test_numbers_of_the_gate_are_metrics_and_those_of_slices_too() -> None:
    evidence = {
        "gain": 0.0018,
        "rows": 6645,
        "worst_recall_label": "J00",
        "harms": ["recall of J00"],
        "gain_by_slice": {"region north & east": -0.01},
        "accuracy_by_slice": {"new phrases": {"candidate": 0.9}},
    }
    assert gate_metrics(Verdict("reject", (), evidence)) == {
        "gate/gain": 0.0018,
        "gate/rows": 6645.0,
        "gate/gain_by_slice/region north   east": -0.01,
    }


def test_a_run_has_a_page_and_keeps_the_data_checks(
    registry: Registry, mlflow: MlflowClient, classifier: str, tmp_path: Path
) -> None:
    version = register(registry, classifier, tmp_path, "1").version
    run = mlflow.get_run(str(mlflow.get_model_version(classifier, version).run_id))
    (tmp_path / "checks").mkdir()
    (tmp_path / "checks" / "report.html").write_text("<p>checked</p>")
    registry.log_folder(run.info.run_id, tmp_path / "checks", CHECKS)
    kept = registry.artifacts(run.info.run_id, "checks/report.html", tmp_path / "copy")
    assert kept.read_text() == "<p>checked</p>"
    assert registry.run_page(classifier, version) == (
        f"/#/experiments/{run.info.experiment_id}/runs/{run.info.run_id}"
    )


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_a_run_whose_body_fails_ends_failed(
    registry: Registry, mlflow: MlflowClient, classifier: str, error: type[BaseException]
) -> None:
    with (
        pytest.raises(error, match="in the middle"),
        registry.run(classifier, name="broken", tags={}) as run,
    ):
        raise error("in the middle")
    assert mlflow.get_run(run).info.status == "FAILED"


def test_a_classifier_without_versions_has_no_aliases(registry: Registry, classifier: str) -> None:
    assert registry.aliases(classifier) == {}


def test_a_promotion_is_a_row_a_decision_and_the_alias(
    registry: Registry, engine: Engine, classifier: str, tmp_path: Path
) -> None:
    model = register(registry, classifier, tmp_path, "1")
    promote(engine, registry, model, why="first version", now=NOW)
    with engine.connect() as connection:
        assert current_champions(connection) == {
            classifier: Deployment(model, "champion", 1.0, NOW, "first version")
        }
    [row] = rollouts(engine, classifier)
    assert (row.kind, row.reasons, row.evidence, row.run, row.decided_at) == (
        "promote", ["first version"], {"version": "1"}, "", NOW,
    )  # fmt: skip
    assert registry.aliases(classifier) == {"candidate": "1", "champion": "1"}


def test_the_next_promotion_names_the_previous_champion(
    registry: Registry, engine: Engine, classifier: str, tmp_path: Path
) -> None:
    for number in ("1", "2"):
        promote(
            engine,
            registry,
            register(registry, classifier, tmp_path, number),
            why="better",
            now=NOW,
        )
    assert registry.aliases(classifier) == {"candidate": "2", "champion": "2", "previous": "1"}
    assert deployed(engine, classifier) == ["1", "2"]


def test_a_rollback_returns_to_the_version_before(
    registry: Registry, engine: Engine, classifier: str, tmp_path: Path
) -> None:
    first, second = (register(registry, classifier, tmp_path, number) for number in ("1", "2"))
    for model in (first, second):
        promote(engine, registry, model, why="better", now=NOW)
    assert (
        roll_back(engine, registry, classifier, why="it was not", now=NOW + timedelta(hours=1))
        == first
    )
    assert deployed(engine, classifier) == ["1", "2", "1"]
    last = rollouts(engine, classifier)[-1]
    assert (last.kind, last.reasons, last.evidence) == (
        "roll_back",
        ["it was not"],
        {"version": "1"},
    )
    assert registry.aliases(classifier) == {"candidate": "2", "champion": "1"}


def test_each_rollback_goes_one_further_back_until_there_is_none(
    registry: Registry, engine: Engine, classifier: str, tmp_path: Path
) -> None:
    for number in ("1", "2", "3"):
        promote(
            engine,
            registry,
            register(registry, classifier, tmp_path, number),
            why="better",
            now=NOW,
        )
    assert [
        roll_back(engine, registry, classifier, why="worse", now=NOW).version for _ in range(2)
    ] == ["2", "1"]
    with pytest.raises(UnknownVersion, match="promote a retained version instead"):
        roll_back(engine, registry, classifier, why="worse", now=NOW)
    assert deployed(engine, classifier) == ["1", "2", "3", "2", "1"]


def test_a_rollback_to_the_canary_ends_the_canary(
    registry: Registry, engine: Engine, classifier: str, tmp_path: Path
) -> None:
    first, second = (register(registry, classifier, tmp_path, number) for number in ("1", "2"))
    for model in (first, second):
        promote(engine, registry, model, why="better", now=NOW)
    play(engine, first, role="canary", share=0.2, why="was it?", now=NOW)
    roll_back(engine, registry, classifier, why="it was not", now=NOW)
    with engine.connect() as connection:
        rollout = current_rollouts(connection)[classifier]
    assert rollout.champion is not None
    assert (rollout.champion.model, rollout.canary) == (first, None)


def test_without_a_version_before_a_rollback_changes_nothing(
    registry: Registry, engine: Engine, classifier: str, tmp_path: Path
) -> None:
    promote(engine, registry, register(registry, classifier, tmp_path, "1"), why="first", now=NOW)
    with pytest.raises(UnknownVersion, match=classifier):
        roll_back(engine, registry, classifier, why="try", now=NOW)
    assert (deployed(engine, classifier), len(rollouts(engine, classifier))) == (["1"], 1)


def test_aliases_are_repaired_once_after_a_kill(
    registry: Registry, engine: Engine, classifier: str, tmp_path: Path
) -> None:
    first, second = (register(registry, classifier, tmp_path, number) for number in ("1", "2"))
    promote(engine, registry, first, why="first", now=NOW)
    append_only(engine, second)
    assert registry.aliases(classifier)["champion"] == "1"
    assert repair_aliases(engine, registry, classifier) is True
    assert registry.aliases(classifier) == {"candidate": "2", "champion": "2", "previous": "1"}
    assert repair_aliases(engine, registry, classifier) is False


def test_one_wrong_alias_is_enough_to_repair(
    registry: Registry, engine: Engine, classifier: str, tmp_path: Path
) -> None:
    for number in ("1", "2"):
        promote(
            engine,
            registry,
            register(registry, classifier, tmp_path, number),
            why="better",
            now=NOW,
        )
    registry.project(classifier, champion="2", previous="2")
    assert repair_aliases(engine, registry, classifier) is True
    assert registry.aliases(classifier)["previous"] == "1"


def test_without_a_champion_there_is_nothing_to_repair(
    registry: Registry, engine: Engine, classifier: str, tmp_path: Path
) -> None:
    register(registry, classifier, tmp_path, "1")
    assert repair_aliases(engine, registry, classifier) is False
    assert registry.aliases(classifier) == {"candidate": "1"}


def test_a_stored_version_is_described_from_its_files(tmp_path: Path) -> None:
    model, evaluation = trained(tmp_path)
    stored = store_version(
        tmp_path / "models", classifier="organ", version="7", model=model, evaluation=evaluation
    )
    folder = tmp_path / "models" / "organ" / "7"
    assert {file.name for file in folder.iterdir()} == {
        "head.npz",
        "head.json",
        "reference.parquet",
        "evaluation.json",
    }
    head = json.loads((model / "head.json").read_text())
    assert stored == ModelVersion("organ", "7", str(folder.resolve()), head["digest"], EMBEDDER_ID)
    assert stored_version(tmp_path / "models", classifier="organ", version="7") == stored


def test_a_version_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    model, evaluation = trained(tmp_path)
    models = tmp_path / "models"
    (evaluation / "evaluation.json").rename(tmp_path / "hidden")
    with pytest.raises(FileNotFoundError):
        store_version(models, classifier="organ", version="1", model=model, evaluation=evaluation)
    with pytest.raises(UnknownVersion, match="run `perennial retrain"):
        stored_version(models, classifier="organ", version="1")
    (tmp_path / "hidden").rename(evaluation / "evaluation.json")
    assert (
        store_version(
            models, classifier="organ", version="1", model=model, evaluation=evaluation
        ).version
        == "1"
    )
    assert [entry.name for entry in (models / "organ").iterdir()] == ["1"], (
        "what the first try left is gone"
    )


def test_a_stored_version_is_never_written_over(tmp_path: Path) -> None:
    models = tmp_path / "models"
    first = trained(tmp_path / "a", "1")
    second = trained(tmp_path / "b", "2")
    stored = store_version(
        models, classifier="organ", version="1", model=first[0], evaluation=first[1]
    )
    with suppress(PerennialError, OSError):
        store_version(
            models, classifier="organ", version="1", model=second[0], evaluation=second[1]
        )
    assert stored_version(models, classifier="organ", version="1") == stored
    assert (models / "organ" / "1" / "reference.parquet").read_bytes() == (
        first[1] / "reference.parquet"
    ).read_bytes()
    assert [entry.name for entry in (models / "organ").iterdir()] == ["1"]


def test_another_head_under_a_taken_number_is_refused(tmp_path: Path) -> None:
    models = tmp_path / "models"
    first = trained(tmp_path / "a", "1")
    second = trained(tmp_path / "b", "2")
    store_version(models, classifier="organ", version="1", model=first[0], evaluation=first[1])
    with pytest.raises((PerennialError, OSError)):
        store_version(
            models, classifier="organ", version="1", model=second[0], evaluation=second[1]
        )


def test_a_head_that_came_damaged_takes_no_number(tmp_path: Path) -> None:
    model, evaluation = trained(tmp_path)
    (model / "head.npz").write_bytes((model / "head.npz").read_bytes()[:-20])
    with pytest.raises(HeadRefused):
        store_version(
            tmp_path / "models", classifier="organ", version="1", model=model, evaluation=evaluation
        )
    assert not (tmp_path / "models" / "organ" / "1").exists()


@pytest.mark.parametrize("version", ["../x", "abc", "99", "", ".", "-1", "1/../1"])
def test_an_unknown_version_is_refused_with_those_that_are_kept(
    tmp_path: Path, version: str
) -> None:
    model, evaluation = trained(tmp_path)
    models = tmp_path / "models"
    store_version(models, classifier="organ", version="1", model=model, evaluation=evaluation)
    save_head(make_head("3"), models / "x")  # what "../x" would reach
    save_head(make_head("3"), models / "organ" / "abc")
    with pytest.raises(UnknownVersion, match=r"name one of 1$"):
        stored_version(models, classifier="organ", version=version)


@pytest.mark.parametrize("name", ["head.npz", "head.json"])
def test_a_damaged_head_is_refused(tmp_path: Path, name: str) -> None:
    model, evaluation = trained(tmp_path)
    models = tmp_path / "models"
    store_version(models, classifier="organ", version="1", model=model, evaluation=evaluation)
    file = models / "organ" / "1" / name
    file.write_bytes(file.read_bytes()[:-20])
    with pytest.raises(HeadRefused, match="organ/1"):
        stored_version(models, classifier="organ", version="1")


def test_an_embedder_is_kept_once_under_its_id(tmp_path: Path) -> None:
    built = tmp_path / "built"
    built.mkdir()
    (built / "embedder.json").write_text(json.dumps({"embedder_id": "tiny-1", "parity": 0.0}))
    kept = store_embedder(tmp_path / "embedders", built)
    (built / "embedder.json").write_text(json.dumps({"embedder_id": "tiny-1", "parity": 1.0}))
    assert (
        store_embedder(tmp_path / "embedders", built) == kept == tmp_path / "embedders" / "tiny-1"
    )
    assert json.loads((kept / "embedder.json").read_text())["parity"] == 0.0
