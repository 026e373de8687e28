"""Reporting: how good the answers were, week by week, from labels that stand for all of them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from prefect import flow, task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE

from core.contracts import Verdict
from core.errors import PerennialError
from core.settings import Settings, load_settings
from flows.context import LoopContext, open_context
from flows.hooks import HOOKS, quiet_named_errors, timed_task
from flows.pages.artifacts import artifact_key
from flows.pages.markdown import as_code, table
from flows.pages.runs import shown_run
from monitoring.performance.answer_counts import count_answers
from monitoring.performance.page import write_page
from monitoring.performance.periods import read_period
from monitoring.performance.promises import describe_promise
from monitoring.performance.report import (
    LABELS_SHOWN,
    NOTE,
    SECTIONS,
    Report,
    cells,
    columns_of,
    describe,
    read_report,
    record,
)


def report_performance(
    context: LoopContext, classifier: str, *, now: datetime
) -> tuple[Report, Path]:
    """Count the answers that arrived, measure the last 90 days, and write the HTML file."""
    counted = count_answers(context.engine, classifier, now=now)
    period = read_period("", "", today=now.date())
    report = read_report(context.engine, classifier, period, counted)
    return report, write_page(report, folder=context.settings.reports, now=now)


def show_performance(report: Report, page: Path) -> None:
    """Show the same tables in the Prefect UI."""
    create_markdown_artifact(
        performance_markdown(report, page),
        key=artifact_key("performance", report.classifier),
        description=f"{report.classifier}: {describe(report)}",
    )


def performance_markdown(report: Report, page: Path) -> str:
    """Return the page as Markdown; labels and regions come from data and are shown as code."""
    title = f"# Performance of {report.classifier}"
    promise = describe_promise(report.promise)
    parts = [title, describe(report), *([promise] if promise else []), NOTE]
    for name in SECTIONS:
        rows = [cells(row, name) for row in report.sections[name][:LABELS_SHOWN]]
        shown = [(as_code(first), *rest) for first, *rest in rows]
        parts.append(f"## By {name}\n\n{table(columns_of(name), shown)}")
    return "\n\n".join([*parts, f"The file with the picture: `{page}`"])


_report_performance = task(name="report performance", cache_policy=NO_CACHE)(
    timed_task(report_performance)
)
_show_performance = task(name="show performance", cache_policy=NO_CACHE)(
    timed_task(show_performance)
)


@flow(name="performance", **HOOKS)
@shown_run
def performance(
    classifiers: list[str] | None = None, now: datetime | None = None
) -> dict[str, Verdict]:
    """Report how good the answers of the last 90 days were; by default, of all classifiers.

    Returns classifier -> Verdict "reported", with the path of its HTML file. An error of one
    classifier does not stop the others; the first error is raised at the end.
    """
    quiet_named_errors()
    moment = now or datetime.now(UTC)
    verdicts: dict[str, Verdict] = {}
    failures: list[PerennialError] = []
    with open_context(load_settings()) as context:
        for name in context.known_classifiers(classifiers or []):
            try:
                verdicts[name] = _report(context, name, moment)
            except PerennialError as error:
                failures.append(error)
    if failures:
        raise failures[0]
    return verdicts


def _report(context: LoopContext, classifier: str, now: datetime) -> Verdict:
    report, page = _report_performance(context, classifier, now=now)
    _show_performance(report, page, return_state=True)  # a page may fail
    weeks = [record(row, ("week",)) for row in report.sections["week"]]
    evidence = {"page": str(page), "whole": record(report.whole, ()), "weeks": weeks}
    promise = describe_promise(report.promise)
    reasons = (describe(report), *([promise] if promise else []))
    return Verdict("reported", reasons, evidence)


def run_performance(settings: Settings, classifiers: Sequence[str]) -> dict[str, Verdict]:
    """Run the flow for the named classifiers, or for all of params.yaml when none is named."""
    with open_context(settings) as context:
        return performance(context.known_classifiers(classifiers))
