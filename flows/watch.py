"""Watching: judges every complete window of answers not judged yet; drift starts a retraining."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from functools import cache, partial
from typing import Any

import structlog
from prefect import flow, task
from prefect.cache_policies import NO_CACHE

from core.contracts import Verdict
from core.errors import PerennialError
from core.logs import get_logger
from core.partitions import tidy_inference
from core.settings import Settings, load_settings
from flows.answering import open_embedder
from flows.context import LoopContext, open_context
from flows.events import emit_drift
from flows.hooks import HOOKS, quiet_named_errors, timed_task
from flows.pages.artifacts import artifact_key
from flows.pages.runs import call_flow, shown_run
from flows.pages.watch import newest_reports, render_page
from flows.retrain import is_retryable, retrain
from monitoring.drift.budget import Budget
from monitoring.drift.payloads import drift_payload
from monitoring.drift.unanswered import unanswered_drift, with_unanswered
from monitoring.drift.watching import watch_classifier
from monitoring.performance.answer_counts import count_answers

NO_CHAMPION = Verdict(
    "insufficient", ("no version answers yet: train one with `perennial retrain`",)
)


def watch_one(
    context: LoopContext, classifier: str, embed: Callable[[Sequence[str]], Any], now: datetime
) -> Verdict:
    """Judge the new windows of the classifier; return the gravest verdict.

    A drift that no retraining has answered is called again.
    """
    block = context.params.classifier(classifier)
    verdict = watch_classifier(
        context.engine,
        classifier=classifier,
        block=block,
        models=context.settings.models,
        reports=context.settings.reports,
        embed=embed,
        now=now,
        seed=context.params.seed,
        false_alarms=Budget.of(
            max_false_alarms=context.params.max_false_alarms,
            classifiers=len(context.params.classifiers),
        ),
    )
    with context.engine.connect() as connection:
        unanswered = unanswered_drift(
            connection,
            classifier=classifier,
            now=now,
            cool_down_days=block.drift.cool_down_days,
        )
    return with_unanswered(verdict, unanswered)


def show_watch(context: LoopContext, classifier: str, verdict: Verdict) -> None:
    """Show a page in the Prefect UI: verdict, newest windows, plot, and the path of the report."""
    from prefect.artifacts import create_markdown_artifact

    page = render_page(
        classifier,
        verdict,
        newest_reports(context.engine, classifier),
        evidently_url=context.settings.evidently_url,
    )
    create_markdown_artifact(
        page, key=artifact_key("drift", classifier), description=f"{classifier}: {verdict.kind}"
    )


def tidy_log(context: LoopContext, now: datetime) -> None:
    """Create the partitions of the log that are needed, and drop those older than it is kept.

    A watch may run for a moment in the future; the log is tidied as of today at the latest.
    """
    tidied = tidy_inference(
        context.engine, now=min(now, datetime.now(UTC)), kept_months=context.settings.keep_months
    )
    get_logger().info("inference log", **asdict(tidied))


def count_log(context: LoopContext, classifiers: Sequence[str], now: datetime) -> None:
    """Count the answers that arrived, so that reports and pages do not have to."""
    for name in classifiers:
        count_answers(context.engine, name, now=now)


_OPTIONS: dict[str, Any] = {
    "cache_policy": NO_CACHE,
    "retries": 2,
    "retry_delay_seconds": 2,
    "retry_condition_fn": is_retryable,
}
_watch_one = task(name="watch classifier", **_OPTIONS)(timed_task(watch_one))
_tidy_log = task(name="tidy log", **_OPTIONS)(timed_task(tidy_log))
_count_log = task(name="count answers", **_OPTIONS)(timed_task(count_log))
_show_watch = task(name="show watch", **_OPTIONS)(timed_task(show_watch))


@flow(name="watch", **HOOKS)
@shown_run
def watch(
    classifiers: list[str], act: bool = False, now: datetime | None = None
) -> dict[str, Verdict]:
    """Look for drift.

    Returns classifier -> Verdict ("steady", "warning", "broken_client", "needs_labels", "drift" or
    "insufficient"). Drift sends the event that starts the automations. With `act` the flow runs the
    retraining itself, for a place without a Prefect server, and returns the verdict of the
    retraining. An error of one classifier does not stop the others; the first error is raised at
    the end.
    """
    quiet_named_errors()
    moment = now or datetime.now(UTC)
    with (
        open_context(load_settings()) as context,
        structlog.contextvars.bound_contextvars(classifiers=classifiers),
    ):
        verdicts, failures = watch_all(context, classifiers, moment, act=act)
        # Failures are ignored: a lock that is taken now is free at one of the next watches.
        _count_log(context, classifiers, moment, return_state=True)
        _tidy_log(context, moment, return_state=True)
    if failures:
        raise failures[0]
    return verdicts


def run_watch(
    settings: Settings,
    classifiers: Sequence[str],
    *,
    act: bool = False,
    now: datetime | None = None,
) -> dict[str, Verdict]:
    """Run the flow for the named classifiers, or for all of params.yaml when none is named."""
    with open_context(settings) as context:
        names = context.known_classifiers(classifiers)
        return call_flow(watch, names, act=act, now=now)


def watch_all(
    context: LoopContext, classifiers: Sequence[str], now: datetime, *, act: bool
) -> tuple[dict[str, Verdict], list[PerennialError]]:
    """Watch one classifier after the other; return the verdicts, and the errors of the others."""
    champions = context.champions()
    by_embedder = {model.embedder_id: model for model in champions.values()}
    embedder = cache(lambda embedder_id: open_embedder(context.settings, by_embedder[embedder_id]))

    def judge(classifier: str) -> Verdict:
        if classifier not in champions:
            return NO_CHAMPION
        embed = embedder(champions[classifier].embedder_id)
        with structlog.contextvars.bound_contextvars(classifier=classifier):
            verdict = _watch_one(context, classifier, embed, now)
        return respond(
            classifier,
            verdict,
            act=act,
            announce=partial(emit_drift, now=now),
            show=partial(_show_watch, context, return_state=True),  # a page may fail
            retrain=partial(_retrain, now=now),
        )

    return watch_each(classifiers, judge)


def watch_each(
    classifiers: Sequence[str], judge: Callable[[str], Verdict]
) -> tuple[dict[str, Verdict], list[PerennialError]]:
    """Judge each classifier once; an error of one does not stop the others."""
    verdicts: dict[str, Verdict] = {}
    failures: list[PerennialError] = []
    # Each name once: a second watch would find no new window and replace the first verdict.
    for name in dict.fromkeys(classifiers):
        try:
            verdicts[name] = judge(name)
        except PerennialError as error:
            failures.append(error)
    return verdicts, failures


def respond(
    classifier: str,
    verdict: Verdict,
    *,
    act: bool,
    announce: Callable[[str, Verdict], object],
    show: Callable[[str, Verdict], object],
    retrain: Callable[[str, Verdict], Verdict],
) -> Verdict:
    """Show the verdict, and respond to drift at once.

    Drift is announced, or with `act` the classifier is retrained here; then the verdict is that of
    the retraining.
    """
    is_drift = verdict.kind == "drift"
    if is_drift and not act:
        announce(classifier, verdict)
    show(classifier, verdict)
    return retrain(classifier, verdict) if is_drift and act else verdict


def _retrain(classifier: str, verdict: Verdict, *, now: datetime) -> Verdict:
    evidence = drift_payload(verdict, now=now)["evidence"]
    verdicts = call_flow(retrain, [classifier], reason="drift", evidence=evidence, now=now)
    return verdicts[classifier]
