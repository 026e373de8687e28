"""Retraining: from the source's rows to a verdict, and to the version that answers."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import structlog
from prefect import flow, tags, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import TaskRun
from prefect.states import State
from prefect.tasks import exponential_backoff

from core.contracts import ModelVersion, Verdict
from core.decisions import record_decision
from core.errors import PerennialError
from core.groups import refuse_unknown
from core.settings import Settings, load_settings
from flows import steps
from flows.artifacts import show_checks, show_verdict
from flows.context import LoopContext, hold_classifiers, open_context
from flows.hooks import log_failure, quiet_named_errors, timed_task
from machine.environment import TAG
from machine.programs import newest_bento
from monitoring.retraining import decide_retraining
from pipelines.checks import require_checked
from pipelines.workspace import Workspace, open_workspace, require_committed


def is_retryable(_task: object, _run: TaskRun, state: State) -> bool:
    """Retry what may succeed later without any change; nothing else. For steps that may run twice."""
    try:
        state.result(raise_on_failure=True)
    except PerennialError as error:
        return error.retryable
    except Exception:
        return False
    return False


_RETRIED: dict[str, Any] = {
    "retries": 3,
    "retry_delay_seconds": exponential_backoff(1),
    "retry_jitter_factor": 0.5,
    "retry_condition_fn": is_retryable,
}


def _step(function: Callable[..., Any], *, retried: bool = False) -> Callable[..., Any]:
    options = _RETRIED if retried else {}
    return task(name=function.__name__.replace("_", " "), cache_policy=NO_CACHE, **options)(
        timed_task(function)
    )


take_snapshot = _step(steps.take_snapshot, retried=True)
check_snapshot = _step(steps.check_snapshot)
train_classifiers = _step(steps.train_classifiers)
publish_lock = _step(steps.publish_lock, retried=True)
compare_with_champion = _step(steps.compare_with_champion, retried=True)
register_candidate = _step(steps.register_candidate, retried=True)
decide_and_promote = _step(steps.decide_and_promote, retried=True)
package = _step(steps.package, retried=True)
_show_checks = _step(show_checks)
_show_verdict = _step(show_verdict)


@flow(name="retrain", on_failure=[log_failure], on_crashed=[log_failure])
def retrain(
    classifiers: list[str],
    reason: str = "manual",
    evidence: dict[str, Any] | None = None,
    now: datetime | None = None,
) -> dict[str, Verdict]:
    """Retrain the classifiers on one snapshot; return classifier -> Verdict ("promote", "reject" or "wait")."""
    quiet_named_errors()
    moment = now or datetime.now(UTC)
    run = f"{moment:%Y%m%dT%H%M%S}-{uuid.uuid4().hex[:6]}"
    with (
        open_context(load_settings()) as context,
        structlog.contextvars.bound_contextvars(run=run, classifiers=classifiers),
    ):
        blocks = {name: context.params.classifier(name) for name in classifiers}
        refuse_unknown(context.settings.groups, context.params.classifiers)
        with hold_classifiers(context.engine, classifiers), tags(TAG, *classifiers, reason):
            due = {name: _decide_due(context, name, reason, moment, run=run) for name in blocks}
            wanted = [name for name, verdict in due.items() if verdict.kind == "retrain"]
            verdicts = (
                _retrain_wanted(context, wanted, steps.Run(run, moment, reason, evidence or {}))
                if wanted
                else {}
            )
    return {name: verdicts.get(name, due[name]) for name in classifiers}


def _retrain_wanted(
    context: LoopContext, classifiers: Sequence[str], run: steps.Run
) -> dict[str, Verdict]:
    require_committed(context.settings.repository)
    with open_workspace(
        context.settings.repository, seconds=context.settings.stage_seconds
    ) as workspace:
        snapshots = take_snapshot(context, workspace, classifiers, run)
        _show_checks(
            check_snapshot(context, workspace, run), return_state=True
        )  # a page that fails stops no retraining
        require_checked(context.settings.reports / "checks" / run.id)
        train_classifiers(context, workspace, classifiers)
        lock = publish_lock(context, workspace, classifiers, snapshots, run)
        verdicts = {name: _judge(context, workspace, name, lock, run) for name in classifiers}
        if (
            any(verdict.kind == "promote" for verdict in verdicts.values())
            or newest_bento(context.settings) is None
        ):
            package(context, workspace, run)
    return verdicts


def _judge(
    context: LoopContext,
    workspace: Workspace,
    classifier: str,
    lock: steps.PublishedRun,
    run: steps.Run,
) -> Verdict:
    with structlog.contextvars.bound_contextvars(classifier=classifier):
        verdict = compare_with_champion(context, workspace, classifier)
        candidate: ModelVersion = register_candidate(
            context, workspace, classifier, verdict, lock, run
        )
        verdict = decide_and_promote(context, candidate, verdict, run)
        built = workspace.folder / "build" / "classifiers" / classifier
        table = (built / "comparison" / "table.md").read_text(encoding="utf-8")
        told = {
            "reason": run.reason,
            "mlflow_url": context.settings.mlflow_url,
            "comparison": table,
        }
        _show_verdict(built / "evaluation", candidate, verdict, **told, return_state=True)
        return verdict


def _decide_due(
    context: LoopContext, classifier: str, reason: str, now: datetime, *, run: str
) -> Verdict:
    policy = context.params.classifier(classifier).drift
    verdict = decide_retraining(
        reason,
        last_retraining_at=context.last_retraining(classifier),
        now=now,
        cool_down_days=policy.cool_down_days,
    )
    with context.engine.begin() as connection:
        record_decision(
            connection,
            verdict,
            classifier=classifier,
            subject="retraining",
            decided_at=now,
            run=run,
        )
    return verdict


def run_retrain(
    settings: Settings,
    classifiers: Sequence[str],
    *,
    reason: str = "manual",
    now: datetime | None = None,
) -> dict[str, Verdict]:
    """Call the flow for the named classifiers, or for all of params.yaml when none is named."""
    with open_context(settings) as context:
        names = list(classifiers) or list(context.params.classifiers)
        for name in names:
            context.params.classifier(name)
        require_committed(settings.repository)
        return retrain(names, reason=reason, now=now)
