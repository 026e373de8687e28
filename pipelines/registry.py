"""MLflow: how good each version is and which is which. Who answers is `deployment`; the aliases are its projection."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.contracts import Verdict
from core.errors import UnknownVersion
from core.logs import get_logger
from pipelines.model_store import problem_of

STATE, UNFINISHED, COMPLETE = "state", "unfinished", "complete"


@dataclass(frozen=True)
class RegisteredVersion:
    """What MLflow knows of a version: its run, and the tags of the retraining that made it."""

    classifier: str
    version: str
    run_id: str
    tags: Mapping[str, str]


class Registry:
    """One MLflow, by URI (a `postgresql+psycopg://` store or a server), with artifacts under one folder."""

    def __init__(self, uri: str, artifacts: Path) -> None:
        import mlflow

        mlflow.set_tracking_uri(uri)
        mlflow.set_registry_uri(uri)
        self._client = mlflow.MlflowClient(uri, uri)
        self._artifacts = artifacts

    @contextmanager
    def run(self, classifier: str, *, name: str, tags: Mapping[str, str]) -> Iterator[str]:
        """Yield the id of a new run of the classifier's experiment; it ends FINISHED, or FAILED on an error."""
        run_id = self._client.create_run(
            self._experiment(classifier), tags=dict(tags), run_name=name
        ).info.run_id
        try:
            yield run_id
        except BaseException:
            self._client.set_terminated(run_id, status="FAILED")
            raise
        self._client.set_terminated(run_id)

    def log_evaluation(
        self,
        run_id: str,
        *,
        metrics: Mapping[str, float],
        params: Mapping[str, Any],
        evaluation: Path,
        model: Path,
    ) -> None:
        """Log the flat metrics, the head's params, the evaluation folder with its plots, and the head file."""
        from mlflow.entities import Metric, Param

        stamp = int(time.time() * 1000)
        scores = [
            Metric(key, float(value), stamp, 0)
            for key, value in metrics.items()
            if isinstance(value, int | float)
        ]
        self._client.log_batch(
            run_id, metrics=scores, params=[Param(key, str(value)) for key, value in params.items()]
        )
        self._client.log_artifacts(run_id, str(evaluation), "evaluation")
        self._client.log_artifacts(run_id, str(model), "head")

    def log_comparison(self, run_id: str, folder: Path, *, metrics: Mapping[str, float]) -> None:
        """The scores of the heads compared, and the folder that holds their table."""
        for name, value in metrics.items():
            self._client.log_metric(run_id, name, value)
        self._client.log_artifacts(run_id, str(folder), "comparison")

    def log_verdict(self, run_id: str, verdict: Verdict) -> None:
        """The gate report: kind as a tag, reasons and evidence as gate.json."""
        report = {
            "verdict": verdict.kind,
            "reasons": list(verdict.reasons),
            "evidence": dict(verdict.evidence),
        }
        self._client.log_text(run_id, json.dumps(report, indent=2, sort_keys=True), "gate.json")
        self._client.set_tag(run_id, "verdict", verdict.kind)

    def register(self, classifier: str, *, run_id: str, tags: Mapping[str, str]) -> str:
        """Create the next version of the classifier, not whole yet; return its number. `complete` follows when its head is kept."""
        self._ensure_registered(classifier)
        told = {**tags, STATE: UNFINISHED}
        created = self._client.create_model_version(
            classifier, source=f"runs:/{run_id}/head", run_id=run_id, tags=told
        )
        return str(created.version)

    def complete(self, classifier: str, version: str) -> None:
        """The version's head lies in the model store: it is whole, and the candidate."""
        self._client.set_model_version_tag(classifier, version, STATE, COMPLETE)
        self._client.set_registered_model_alias(classifier, "candidate", version)

    def version_of(self, classifier: str, run: str) -> str | None:
        """The whole version that a retraining has registered, None when it has not come to that."""
        found = self._client.search_model_versions(
            f"name = '{classifier}' and tags.run = '{run}' and tags.{STATE} = '{COMPLETE}'"
        )
        return str(found[0].version) if found else None

    def unfinished(self, classifier: str) -> list[RegisteredVersion]:
        """Versions that were never completed."""
        return [known for known in self.versions(classifier) if known.tags.get(STATE) == UNFINISHED]

    def forget(self, classifier: str, version: str) -> None:
        """Remove a version. Its number is not given again."""
        self._client.delete_model_version(classifier, version)

    def end_runs(self, classifier: str) -> None:
        """Mark the runs that nobody will end any more."""
        experiment = self._client.get_experiment_by_name(classifier)
        for run in (
            self._client.search_runs([experiment.experiment_id], "attributes.status = 'RUNNING'")
            if experiment
            else ()
        ):
            self._client.set_terminated(run.info.run_id, status="KILLED")

    def tag(self, classifier: str, version: str, key: str, value: str) -> None:
        """Set one tag of a version."""
        self._client.set_model_version_tag(classifier, version, key, value)

    def versions(self, classifier: str) -> list[RegisteredVersion]:
        """Every version of the classifier, oldest first; empty when it was never registered."""
        found = (
            self._client.search_model_versions(f"name='{classifier}'")
            if classifier.isidentifier()
            else []
        )
        rows = [
            RegisteredVersion(classifier, str(row.version), row.run_id or "", dict(row.tags))
            for row in found
        ]
        return sorted(rows, key=lambda row: int(row.version))

    def version(self, classifier: str, version: str) -> RegisteredVersion:
        """One version; raises `UnknownVersion` naming those there are."""
        known = {row.version: row for row in self.versions(classifier)}
        if version not in known:
            raise UnknownVersion(
                f"a version of {classifier}",
                came=repr(version),
                do=f"name one of {', '.join(known) or 'none yet'}",
            )
        return known[version]

    def metrics(self, run_id: str) -> dict[str, float]:
        """The scores of a run."""
        return dict(self._client.get_run(run_id).data.metrics)

    def artifacts(self, run_id: str, name: str, target: Path) -> Path:
        """Copy an artifact folder of a run below `target`; return where it lies."""
        return Path(self._client.download_artifacts(run_id, name, str(target)))

    def aliases(self, classifier: str) -> dict[str, str]:
        """Return alias -> version; empty when the classifier was never registered."""
        from mlflow.exceptions import MlflowException

        try:
            return {
                alias: str(version)
                for alias, version in self._client.get_registered_model(classifier).aliases.items()
            }
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            return {}

    def project(self, classifier: str, *, champion: str, previous: str | None) -> bool:
        """Make the aliases say what `deployment` says; return True when something had to be repaired.

        A version that MLflow does not know gets no alias: that is logged.
        """
        told = self.aliases(classifier)
        wanted = {"previous": previous, "champion": champion}
        wrong = {alias: version for alias, version in wanted.items() if told.get(alias) != version}
        for alias, version in wrong.items():  # previous before champion
            with _known_version(classifier, version or told[alias]):
                self._set_alias(classifier, alias, version)
        return bool(wrong)

    def _set_alias(self, classifier: str, alias: str, version: str | None) -> None:
        if version is None:
            self._client.delete_registered_model_alias(classifier, alias)
        else:
            self._client.set_registered_model_alias(classifier, alias, version)

    def _experiment(self, classifier: str) -> str:
        found = self._client.get_experiment_by_name(classifier)
        if found:
            return found.experiment_id
        return self._client.create_experiment(
            classifier, artifact_location=(self._artifacts / classifier).resolve().as_uri()
        )

    def _ensure_registered(self, classifier: str) -> None:
        from mlflow.exceptions import MlflowException

        try:
            self._client.create_registered_model(classifier)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise


@contextmanager
def _known_version(classifier: str, version: str) -> Iterator[None]:
    from mlflow.exceptions import MlflowException

    try:
        yield
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        get_logger().warning(
            "alias",
            state="MLflow does not know the version",
            classifier=classifier,
            version=version,
        )


def finish_or_forget(registry: Registry, models: Path, classifier: str) -> None:
    """Put right what a killed retraining left: a version whose head is kept is whole, one without is removed.

    For the holder of the classifier's lock only: no other retraining of it is under way.
    """
    registry.end_runs(classifier)
    for known in registry.unfinished(classifier):
        if problem_of(
            models / classifier / known.version, digest=known.tags.get("head_digest", "")
        ):
            registry.forget(classifier, known.version)
        else:
            registry.complete(classifier, known.version)
    for part in (models / classifier).glob(".*.part"):
        shutil.rmtree(part, ignore_errors=True)
