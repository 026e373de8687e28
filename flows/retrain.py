"""Retraining: from the rows of the source to a verdict, and to the version that answers."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, ParamSpec, TypeVar

import structlog
from prefect import Task, flow, tags, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, TaskRun
from prefect.tasks import exponential_backoff

from core.contracts import Verdict
from core.errors import PerennialError
from core.groups import refuse_unknown
from core.logs import get_logger
from core.settings import Settings, load_settings
from flows import history, memory, steps
from flows.attempt import Attempt
from flows.candidates import cards, comparing, packaging, promoting, registering
from flows.context import HeldClassifiers, LoopContext, hold_classifiers, open_context
from flows.hooks import HOOKS, quiet_named_errors, timed_task
from flows.pages.artifacts import show_cards, show_checks, show_no_candidate, show_verdict
from flows.pages.memory import show_renewal
from flows.pages.runs import call_flow, shown_run
from flows.pages.tuning import show_tuning
from flows.run import PublishedRun, Run, record_verdict
from flows.tuning import tune_heads as _tune_heads
from machine.environment import TAG
from monitoring.retraining import decide_retraining
from pipelines.git_repository import require_committed
from pipelines.workspace import Workspace, open_workspace

P = ParamSpec("P")
R = TypeVar("R")


def is_retryable(_task: object, _run: TaskRun, state: State[Any]) -> bool:
    """Return True for errors that may go away without any change.

    Only for steps that may run twice.
    """
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


def _step(function: Callable[P, R], *, retried: bool = False) -> Task[P, R]:
    name = function.__name__.replace("_", " ")
    options = _RETRIED if retried else {}
    return task(name=name, cache_policy=NO_CACHE, **options)(timed_task(function))


take_snapshot = _step(steps.take_snapshot, retried=True)
check_snapshot = _step(steps.check_snapshot)
require_sound_data = _step(steps.require_sound_data)
choose_histories = _step(history.choose_histories)
tune_heads = _step(_tune_heads)
train_classifiers = _step(steps.train_classifiers)
publish_lock = _step(steps.publish_lock, retried=True)
compare_with_champion = _step(comparing.compare_with_champion, retried=True)
register_candidate = _step(registering.register_candidate, retried=True)
decide_and_promote = _step(promoting.decide_and_promote, retried=True)
package = _step(packaging.package, retried=True)
remember_retraining = _step(memory.remember_retraining, retried=True)
_write_cards = _step(cards.write_cards)
_show_cards = _step(show_cards)
_show_checks = _step(show_checks)
_show_tuning = _step(show_tuning)
_show_verdict = _step(show_verdict)
_show_no_candidate = _step(show_no_candidate)
_show_renewal = _step(show_renewal)


@flow(name="retrain", **HOOKS)
@shown_run
def retrain(
    classifiers: list[str],
    reason: str = "manual",
    evidence: dict[str, Any] | None = None,
    now: datetime | None = None,
) -> dict[str, Verdict]:
    """Retrain the classifiers on one snapshot.

    Prefect shows `evidence`, what called for it, among the parameters of the run. Returns
    classifier -> Verdict: "promote", "keep", "reject", "undecided", "hold", "wait" or "failed". An
    error of one classifier does not stop the others; without any other it is raised.
    """
    quiet_named_errors()
    moment = now or datetime.now(UTC)
    run = Run(f"{moment:%Y%m%dT%H%M%S}-{uuid.uuid4().hex[:6]}", moment, reason)
    with (
        open_context(load_settings()) as context,
        structlog.contextvars.bound_contextvars(run=run.id, classifiers=classifiers),
    ):
        _require_known(context, classifiers)
        with (
            hold_classifiers(context.engine, classifiers) as held,
            tags(TAG, *classifiers, reason),
        ):
            verdicts = {
                name: _decide_due(context, name, run) for name in dict.fromkeys(classifiers)
            }
            due = [name for name, verdict in verdicts.items() if verdict.kind == "retrain"]
            if due:
                verdicts |= _retrain_due(context, due, run, held=held)
    return verdicts


def _require_known(context: LoopContext, classifiers: Sequence[str]) -> None:
    for name in classifiers:
        context.params.classifier(name)
    refuse_unknown(context.settings.groups, context.params.classifiers)


def _decide_due(context: LoopContext, classifier: str, run: Run) -> Verdict:
    """Decide whether the classifier is retrained now, and record the decision."""
    verdict = decide_retraining(
        run.reason,
        last_retraining_at=context.last_retraining(classifier),
        now=run.now,
        cool_down_days=context.params.classifier(classifier).drift.cool_down_days,
    )
    if verdict.kind == "wait":
        _conclude_without_candidate(context, classifier, verdict, run)
    else:
        record_verdict(context.engine, verdict, run, classifier=classifier, subject="retraining")
    return verdict


def _retrain_due(
    context: LoopContext, classifiers: Sequence[str], run: Run, *, held: HeldClassifiers
) -> dict[str, Verdict]:
    settings = context.settings
    attempt = Attempt(list(classifiers))
    require_committed(settings.repository)

    with open_workspace(settings.repository, seconds=settings.stage_seconds) as workspace:
        published = _train(context, workspace, attempt, run)
        verdicts = {}
        for name in list(attempt.remaining):
            with attempt.alone(name):
                verdicts[name] = _judge_candidate(
                    context, workspace, name, published, run, held=held
                )
        promoted = any(verdict.kind == "promote" for verdict in verdicts.values())
        if promoted or packaging.needs_packing(settings):
            package(context, workspace, run)

    failed = attempt.verdicts()
    for name, verdict in failed.items():
        _conclude_without_candidate(context, name, verdict, run)
    return verdicts | failed


def _train(context: LoopContext, workspace: Workspace, attempt: Attempt, run: Run) -> PublishedRun:
    """Snapshot, check and train; classifiers that cannot be trained are left out."""
    snapshots, refused = take_snapshot(context, workspace, attempt.remaining, run)
    attempt.leave_out(refused)
    checks = check_snapshot(context, workspace, run)
    _show_checks(checks, return_state=True)  # a failing page does not stop a retraining
    attempt.leave_out(require_sound_data(context, workspace, attempt.remaining, run))
    choose_histories(context, workspace, attempt.remaining, run)
    for tuning in tune_heads(context, workspace, attempt.remaining, run):
        _show_tuning(tuning, return_state=True)
    attempt.leave_out(train_classifiers(context, workspace, attempt.remaining, run))
    return publish_lock(context, workspace, attempt.remaining, snapshots, run)


def _conclude_without_candidate(
    context: LoopContext, classifier: str, verdict: Verdict, run: Run
) -> None:
    """Record and show why the run made no candidate. The champion's lineage lists it, too."""
    champion = context.champions().get(classifier)
    evidence = {**verdict.evidence, "version": champion.version if champion else ""}
    concluded = Verdict(verdict.kind, verdict.reasons, evidence)
    record_verdict(context.engine, concluded, run, classifier=classifier, subject="retraining")
    get_logger().warning(verdict.kind, classifier=classifier, reason=verdict.reasons[0])
    _show_no_candidate(classifier, verdict, reason=run.reason, return_state=True)


def _judge_candidate(
    context: LoopContext,
    workspace: Workspace,
    classifier: str,
    published: PublishedRun,
    run: Run,
    *,
    held: HeldClassifiers,
) -> Verdict:
    with structlog.contextvars.bound_contextvars(classifier=classifier):
        verdict = compare_with_champion(context, workspace, classifier, run)
        held.require()
        candidate = register_candidate(context, workspace, classifier, verdict, published, run)
        held.require()
        verdict = decide_and_promote(context, candidate, verdict, run)
        _remember(context, workspace, classifier, run)
        _write_cards(context, candidate, return_state=True)
        _show_cards(context, candidate, return_state=True)

        built = workspace.folder / "build" / "classifiers" / classifier
        _show_verdict(context, built, candidate, verdict, run, return_state=True)
        return verdict


def _remember(context: LoopContext, workspace: Workspace, classifier: str, run: Run) -> None:
    """Renew the memory. An error leaves it to the next `remember`: the verdict holds already."""
    try:
        renewed = remember_retraining(context, workspace, classifier, run)
    except PerennialError as error:
        get_logger().error("memory not renewed", error=str(error))
        return
    if renewed is not None:
        _show_renewal(context, renewed, now=run.now, return_state=True)


def run_retrain(
    settings: Settings,
    classifiers: Sequence[str],
    *,
    reason: str = "manual",
    now: datetime | None = None,
) -> dict[str, Verdict]:
    """Run the flow for the named classifiers, or for all of params.yaml when none is named."""
    with open_context(settings) as context:
        names = context.known_classifiers(classifiers)
        require_committed(settings.repository)
        return call_flow(retrain, names, reason=reason, now=now)
