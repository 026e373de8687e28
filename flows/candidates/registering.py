"""Registers a candidate: its run and version in MLflow, its head in the model store."""

from __future__ import annotations

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from core.contracts import ModelVersion, Verdict
from core.database import require_reachable
from core.errors import DatabaseUnreachable, RegistryUnreachable
from flows.candidates.card_facts import log_records
from flows.candidates.error_report import report_folder
from flows.candidates.label_report import keep_label_report
from flows.context import LoopContext
from flows.mlflow_model import write_mlflow_model
from flows.run import PublishedRun, Run, embedder_id
from flows.tuning import log_tuning
from pipelines.model.head_file import head_digest, judged_folder
from pipelines.model_store import store_version, stored_version
from pipelines.provenance import training_environment
from pipelines.recovery import finish_or_forget
from pipelines.registry import CHECKS, ERRORS, MODEL
from pipelines.stages.compare import logged_metrics
from pipelines.stages.files import SPEC
from pipelines.workspace import Workspace


def register_candidate(
    context: LoopContext,
    workspace: Workspace,
    classifier: str,
    verdict: Verdict,
    published: PublishedRun,
    run: Run,
) -> ModelVersion:
    """Log the candidate in MLflow, register its version, and put its head into the model store.

    A second call for the same run completes what the first one began
    (docs/decisions/0007-nothing-half-registered.md).
    """
    require_registry(context)
    registry = context.registry
    models = context.settings.models
    finish_or_forget(registry, models, classifier)
    if registered := registry.version_of(classifier, run.id):
        return stored_version(models, classifier=classifier, version=registered)

    built = workspace.folder / "build" / "classifiers" / classifier
    tags = _version_tags(workspace, built / "model", published, run) | {"verdict": verdict.kind}
    with registry.run(classifier, name=run.id, tags=tags) as run_id:
        _log_results(context, classifier, run_id, workspace, verdict)
        log_tuning(context, classifier, run_id, run)
        _log_model(context, classifier, run_id, built / "model", embedder=tags["embedder_id"])
        registry.log_folder(run_id, context.settings.reports / "checks" / run.id, CHECKS)
        version = registry.register(classifier, run_id=run_id, tags=tags, why=_why(verdict))
        # Before the head is stored: a version with a stored head is completed without this.
        keep_label_report(context, classifier, version=version, run_id=run_id, built=built, run=run)
        stored = store_version(
            models,
            classifier=classifier,
            version=version,
            model=built / "model",
            evaluation=built / "evaluation",
            errors=report_folder(built),
        )
        registry.complete(classifier, version)
    return stored


def _why(verdict: Verdict) -> str:
    """Return the verdict in a line, for the description of the version."""
    return f"{verdict.kind}: {'; '.join(verdict.reasons)}"


def require_registry(context: LoopContext) -> None:
    """Raise `RegistryUnreachable` at once when MLflow's database does not answer.

    MLflow itself would retry for two minutes.
    """
    try:
        require_reachable(context.urls.mlflow)
    except DatabaseUnreachable as error:
        raise RegistryUnreachable(
            "MLflow's database to answer",
            came=error.came,
            do="start it, or correct PERENNIAL_MLFLOW_DATABASE_URL; then retrain",
        ) from None


def _log_results(
    context: LoopContext, classifier: str, run_id: str, workspace: Workspace, verdict: Verdict
) -> None:
    """Log metrics, plots, the comparison of heads, the error report and the verdict."""
    registry = context.registry
    built = workspace.folder / "build" / "classifiers" / classifier
    log_records(context, workspace, classifier, run_id)
    registry.log_evaluation(
        run_id,
        metrics=json.loads((built / "evaluation" / "metrics.json").read_text()),
        params=_training_params(context, workspace, classifier),
        evaluation=built / "evaluation",
        model=built / "model",
    )
    if comparison := logged_metrics(built / "comparison"):
        registry.log_comparison(run_id, built / "comparison", metrics=comparison)
    if errors := report_folder(built):
        registry.log_folder(run_id, errors, ERRORS)
    registry.log_verdict(run_id, verdict)
    if (built / "history").is_dir():
        registry.log_folder(run_id, built / "history", "history")


def _training_params(context: LoopContext, workspace: Workspace, classifier: str) -> dict[str, Any]:
    """Return the settings of the head and of its self-training, the history, and what it favours.

    They are those of the workspace: a tuning or `history_days: auto` may have changed them.
    """
    folder = workspace.folder / SPEC / classifier
    head = json.loads((folder / "head.json").read_text(encoding="utf-8"))
    days = json.loads((folder / "split.json").read_text(encoding="utf-8"))["history_days"]
    block = context.params.classifier(classifier)
    settings = {name: value for name, value in head.items() if name not in ("seed", "rules")}
    if block.self_training is not None:
        own = block.self_training.model_dump()
        settings |= {f"self_training_{name}": value for name, value in own.items()}
    return {**settings, "history_days": days, "favour": block.favour}


def _log_model(
    context: LoopContext, classifier: str, run_id: str, head: Path, *, embedder: str
) -> None:
    with TemporaryDirectory() as temporary:
        folder = Path(temporary) / "model"
        write_mlflow_model(folder, head=head, classifier=classifier, embedder_id=embedder)
        context.registry.log_folder(run_id, folder, MODEL)


def _version_tags(
    workspace: Workspace, model: Path, published: PublishedRun, run: Run
) -> dict[str, str]:
    return {
        "git_commit": published.commit,
        "git_tag": published.tag,
        "snapshot": published.snapshots,
        "data_md5": published.data_md5,
        "embedder_id": embedder_id(workspace),
        "reason": run.reason,
        "run": run.id,
        "head_digest": head_digest(model),
        "judged_digest": head_digest(judged_folder(model)),
        "surroundings": json.dumps(training_environment()),
    }
