"""MLflow: runs, scores, and the number and tags of every version.

Which version answers is stated by the table `deployment`; MLflow's aliases only repeat it.
The files of a version are in the model store (`pipelines/model_store.py`).
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.contracts import Verdict
from core.errors import UnknownVersion
from pipelines.gate_metrics import gate_metrics
from pipelines.mlflow_errors import known_version

STATE = "state"
"""Tag of a version: is its head in the model store?"""
CHECKS = "checks"
"""Artifact folder of a run: result and page of the data checks."""
ERRORS = "errors"
"""Artifact folder of a run: value and page of the error report."""
MODEL = "model"
"""Artifact folder of a run: what `mlflow.pyfunc.load_model` loads."""
UNFINISHED = "unfinished"
COMPLETE = "complete"

WHO_DECIDES = (
    "Which version answers is decided by Perennial, not here: the gate promotes at a retraining, "
    "and people with `perennial rollout`. The aliases `champion` and `previous` repeat it; "
    "a change of them here is undone."
)

LONGEST_WHY = 3_000
"""MLflow stores 5,000 characters of a description, and refuses a longer one."""


def shortened(why: str) -> str:
    """Return at most `LONGEST_WHY` characters; gate.json of the run has the rest."""
    return why if len(why) <= LONGEST_WHY else f"{why[: LONGEST_WHY - 1]}…"


@dataclass(frozen=True)
class RegisteredVersion:
    """A version in MLflow: its run, and the tags of the retraining that registered it."""

    classifier: str
    version: str
    run_id: str
    tags: Mapping[str, str]


class Registry:
    """One MLflow.

    Parameters
    ----------
    uri : str
        A `postgresql+psycopg://` store, or a server.
    artifacts : Path
        Folder of the artifacts, with one folder per classifier.
    """

    def __init__(self, uri: str, artifacts: Path) -> None:
        import mlflow

        mlflow.set_tracking_uri(uri)
        mlflow.set_registry_uri(uri)
        self._client = mlflow.MlflowClient(uri, uri)
        self._artifacts = artifacts

    @contextmanager
    def run(self, classifier: str, *, name: str, tags: Mapping[str, str]) -> Iterator[str]:
        """Yield the id of a new run of the classifier's experiment.

        The run ends as FINISHED, or as FAILED after an error.
        """
        experiment = self._experiment(classifier)
        run = self._client.create_run(experiment, tags=dict(tags), run_name=name)
        run_id = run.info.run_id
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
        """Log the metrics that are numbers, the head's params, and both folders as artifacts."""
        from mlflow.entities import Param

        self.log_numbers(run_id, metrics)
        settings = [Param(name, str(value)) for name, value in params.items()]
        self._client.log_batch(run_id, params=settings)
        self._client.log_artifacts(run_id, str(evaluation), "evaluation")
        self._client.log_artifacts(run_id, str(model), "head")

    def log_comparison(self, run_id: str, folder: Path, *, metrics: Mapping[str, float]) -> None:
        """Log the scores of the compared heads, and the folder with their table."""
        self.log_numbers(run_id, metrics)
        self._client.log_artifacts(run_id, str(folder), "comparison")

    def log_numbers(self, run_id: str, metrics: Mapping[str, Any]) -> None:
        """Log the metrics that are numbers, in one request."""
        from mlflow.entities import Metric

        milliseconds = int(time.time() * 1000)
        numbers = [
            Metric(name, float(value), milliseconds, 0)
            for name, value in metrics.items()
            if isinstance(value, int | float)
        ]
        self._client.log_batch(run_id, metrics=numbers)

    def log_folder(self, run_id: str, folder: Path, name: str) -> None:
        """Log a folder under a name, such as MODEL or CHECKS."""
        self._client.log_artifacts(run_id, str(folder), name)

    def log_verdict(self, run_id: str, verdict: Verdict) -> None:
        """Log the gate's verdict: its kind as a tag, its numbers as metrics, all as gate.json."""
        report = {
            "verdict": verdict.kind,
            "reasons": list(verdict.reasons),
            "evidence": dict(verdict.evidence),
        }
        self._client.log_text(run_id, json.dumps(report, indent=2, sort_keys=True), "gate.json")
        self.log_numbers(run_id, gate_metrics(verdict))
        self._client.set_tag(run_id, "verdict", verdict.kind)

    def register(
        self, classifier: str, *, run_id: str, tags: Mapping[str, str], why: str = ""
    ) -> str:
        """Create the next version of the classifier, unfinished; return its number.

        `why` is what the gate said, for the description.

        Call `complete` when its head is in the model store.
        """
        self._ensure_registered(classifier)
        created = self._client.create_model_version(
            classifier,
            source=f"runs:/{run_id}/{MODEL}",
            run_id=run_id,
            tags={**tags, STATE: UNFINISHED},
            description="\n\n".join(filter(None, (shortened(why), WHO_DECIDES))),
        )
        return str(created.version)

    def complete(self, classifier: str, version: str) -> None:
        """Mark a version as complete, and as the candidate: its head is in the model store."""
        self._client.set_model_version_tag(classifier, version, STATE, COMPLETE)
        self._client.set_registered_model_alias(classifier, "candidate", version)

    def version_of(self, classifier: str, run: str) -> str | None:
        """Return the complete version that a retraining registered, None when there is none."""
        query = f"name = '{classifier}' and tags.run = '{run}' and tags.{STATE} = '{COMPLETE}'"
        versions = self._client.search_model_versions(query)
        return str(versions[0].version) if versions else None

    def unfinished(self, classifier: str) -> list[RegisteredVersion]:
        """Return the versions that were never completed."""
        versions = self.versions(classifier)
        return [version for version in versions if version.tags.get(STATE) == UNFINISHED]

    def forget(self, classifier: str, version: str) -> None:
        """Remove a version. MLflow does not reuse its number."""
        self._client.delete_model_version(classifier, version)

    def end_runs(self, classifier: str) -> None:
        """Mark running runs as KILLED: nobody will end them."""
        experiment = self._client.get_experiment_by_name(classifier)
        if experiment is None:
            return
        running = "attributes.status = 'RUNNING'"
        for run in self._client.search_runs([experiment.experiment_id], running):
            self._client.set_terminated(run.info.run_id, status="KILLED")

    def tag(self, classifier: str, version: str, key: str, value: str) -> None:
        """Set one tag of a version."""
        self._client.set_model_version_tag(classifier, version, key, value)

    def versions(self, classifier: str) -> list[RegisteredVersion]:
        """Return every version of the classifier, oldest first; empty when there is none."""
        if not classifier.isidentifier():  # it would become part of MLflow's query
            return []
        versions = [
            RegisteredVersion(classifier, str(row.version), row.run_id or "", dict(row.tags))
            for row in self._client.search_model_versions(f"name='{classifier}'")
        ]
        return sorted(versions, key=lambda version: int(version.version))

    def version(self, classifier: str, version: str) -> RegisteredVersion:
        """Return one version. Raises `UnknownVersion` naming the existing ones."""
        known = {row.version: row for row in self.versions(classifier)}
        if version not in known:
            names = ", ".join(known)
            raise UnknownVersion(
                f"a version of {classifier}",
                came=repr(version),
                do=f"name one of {names}" if known else f"run `perennial retrain {classifier}`",
            )
        return known[version]

    def run_page(self, classifier: str, version: str) -> str:
        """Return the address of the version's run, below the address of MLflow's UI."""
        run_id = self.version(classifier, version).run_id
        return f"/#/experiments/{self._client.get_run(run_id).info.experiment_id}/runs/{run_id}"

    def metrics(self, run_id: str) -> dict[str, float]:
        """Return the scores of a run."""
        return dict(self._client.get_run(run_id).data.metrics)

    def artifacts(self, run_id: str, name: str, target: Path) -> Path:
        """Copy an artifact folder of a run below `target`; return its path."""
        return Path(self._client.download_artifacts(run_id, name, str(target)))

    def aliases(self, classifier: str) -> dict[str, str]:
        """Return alias -> version; empty when the classifier was never registered."""
        from mlflow.exceptions import MlflowException

        try:
            model = self._client.get_registered_model(classifier)
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            return {}
        return {alias: str(version) for alias, version in model.aliases.items()}

    def artifact(self, run_id: str, name: str, target: Path) -> Path | None:
        """Copy one artifact file of a run below `target`; None when the run has no such file."""
        from mlflow.exceptions import MlflowException

        folder = name.rpartition("/")[0]
        try:
            listed = {entry.path for entry in self._client.list_artifacts(run_id, folder)}
        except MlflowException:
            return None
        return self.artifacts(run_id, name, target) if name in listed else None

    def description(self, classifier: str, version: str) -> str:
        """Return the description of a version."""
        return str(self._client.get_model_version(classifier, version).description or "")

    def describe(self, classifier: str, version: str, text: str) -> None:
        """Replace the description of a version."""
        self._client.update_model_version(classifier, version, text)

    def project(self, classifier: str, *, champion: str, previous: str | None) -> bool:
        """Make the aliases repeat `deployment`; return True when one had to be changed.

        A version that MLflow does not know gets no alias, and a warning is logged.
        """
        current = self.aliases(classifier)
        target = {"previous": previous, "champion": champion}  # in this order
        stale = {name: version for name, version in target.items() if current.get(name) != version}
        for alias, version in stale.items():
            with known_version(classifier, version or current[alias]):
                self._set_alias(classifier, alias, version)
        return bool(stale)

    def _set_alias(self, classifier: str, alias: str, version: str | None) -> None:
        if version is None:
            self._client.delete_registered_model_alias(classifier, alias)
        else:
            self._client.set_registered_model_alias(classifier, alias, version)

    def _experiment(self, classifier: str) -> str:
        experiment = self._client.get_experiment_by_name(classifier)
        if experiment:
            return str(experiment.experiment_id)
        location = (self._artifacts / classifier).resolve().as_uri()
        return str(self._client.create_experiment(classifier, artifact_location=location))

    def _ensure_registered(self, classifier: str) -> None:
        from mlflow.exceptions import MlflowException

        try:
            self._client.create_registered_model(classifier)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
        self._client.update_registered_model(classifier, WHO_DECIDES)
