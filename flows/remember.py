"""Remembering: labels that people send reach the memory within the hour."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from prefect import flow, task
from prefect.cache_policies import NO_CACHE

from core.contracts import Verdict
from core.errors import PerennialError
from core.settings import Settings, load_settings
from flows.context import LoopContext, open_context
from flows.hooks import HOOKS, quiet_named_errors, timed_task
from flows.memory import remember_labels
from flows.pages.memory import show_changes
from flows.pages.runs import shown_run
from flows.review import Embedders, keep_phrases, refill_review

_remember_labels = task(name="remember labels", cache_policy=NO_CACHE)(timed_task(remember_labels))
_refill_review = task(name="refill review", cache_policy=NO_CACHE)(timed_task(refill_review))
_keep_phrases = task(name="keep phrases", cache_policy=NO_CACHE)(timed_task(keep_phrases))
_show_changes = task(name="show changes", cache_policy=NO_CACHE)(timed_task(show_changes))


@flow(name="remember", **HOOKS)
@shown_run
def remember(
    classifiers: list[str] | None = None, now: datetime | None = None
) -> dict[str, Verdict]:
    """Renew the memories of the classifiers that labels came for; by default, of all.

    Then refill what people should look at, and keep the phrases of all classifiers up to date.

    Returns classifier -> Verdict: "renewed", "current" or "waiting". An error of one classifier
    does not stop the others; the first error is raised at the end.
    """
    quiet_named_errors()
    moment = now or datetime.now(UTC)
    verdicts: dict[str, Verdict] = {}
    failures: list[PerennialError] = []

    with open_context(load_settings()) as context:
        embedders = Embedders(context)
        for name in context.known_classifiers(classifiers or []):
            try:
                verdicts[name] = _remember(context, name, moment)
                _refill_review(context, name, now=moment, embedders=embedders)
            except PerennialError as error:
                failures.append(error)
        try:
            _keep_phrases(context, now=moment, embedders=embedders)
        except PerennialError as error:
            failures.append(error)

    if failures:
        raise failures[0]
    return verdicts


def _remember(context: LoopContext, classifier: str, now: datetime) -> Verdict:
    verdict = _remember_labels(context, classifier, now=now)
    if verdict.kind == "renewed":
        _show_changes(classifier, verdict, return_state=True)  # a page may fail
    return verdict


def run_remember(settings: Settings, classifiers: Sequence[str]) -> dict[str, Verdict]:
    """Run the flow for the named classifiers, or for all of params.yaml when none is named."""
    with open_context(settings) as context:
        return remember(context.known_classifiers(classifiers))
