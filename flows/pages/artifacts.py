"""Artifacts of a retraining in the Prefect UI: the data checks, and a page per candidate."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from prefect.artifacts import create_markdown_artifact, create_table_artifact

from core.contracts import ModelVersion, Verdict
from flows.candidates.cards import CARDS
from flows.candidates.error_report import render_summary, report_folder
from flows.candidates.label_report import SUSPECTS
from flows.context import LoopContext
from flows.history import history_sentence
from flows.pages.markdown import links_line
from flows.pages.verdict import render_no_candidate, render_verdict
from flows.run import Run
from pipelines.cards.files import stored_cards
from pipelines.cards.pages import as_markdown
from pipelines.errors.files import PAGE, read_report
from pipelines.registry import CHECKS, ERRORS


def show_checks(result: Mapping[str, Any]) -> None:
    """Show the data checks as a table: one row per check, with the observed value and its limit."""
    columns = ("dataset", "name", "column", "severity", "passed", "observed", "limit", "rows")
    table = [{key: check.get(key) for key in columns} for check in result["checks"]]
    create_table_artifact(
        table,
        key="data-checks",
        description=f"Data checks: **{result['verdict']}**. The page: {result['page']}",
    )


def show_verdict(
    context: LoopContext, built: Path, candidate: ModelVersion, verdict: Verdict, run: Run
) -> None:
    """Show a page per candidate: see `render_verdict`. `built` holds its evaluation."""
    classifier = candidate.classifier
    page = render_verdict(
        built / "evaluation",
        candidate,
        verdict,
        reason=run.reason,
        links=_links(context, candidate, errors=report_folder(built) is not None),
        history=history_sentence(built.parents[2], classifier),
        comparison=_tables(built),
        errors=_errors(built),
    )
    create_markdown_artifact(
        page,
        key=artifact_key("verdict", classifier),
        description=f"{classifier} version {candidate.version}: {verdict.kind}",
    )


def _tables(built: Path) -> str:
    """Return the heads that were compared, and what was found about labels."""
    files = (built / "comparison" / "table.md", built / SUSPECTS / "table.md")
    return "\n\n".join(file.read_text(encoding="utf-8") for file in files)


def _errors(built: Path) -> str:
    folder = report_folder(built)
    report = read_report(folder) if folder else None
    return render_summary(report) if report else ""


def _links(context: LoopContext, candidate: ModelVersion, *, errors: bool) -> dict[str, str]:
    """Return the pages of a candidate: its version, its run, data checks and error report."""
    ui = context.settings.mlflow_url
    classifier = candidate.classifier
    version = candidate.version
    run_page = ui + context.registry.run_page(classifier, version)
    links = {
        f"{classifier} {version} in MLflow": f"{ui}/#/models/{classifier}/versions/{version}",
        "scores and plots": run_page,
        "data checks": f"{run_page}/artifacts/{CHECKS}/report.html",
        "model card": f"{run_page}/artifacts/{CARDS}/model.html",
        "data card": f"{run_page}/artifacts/{CARDS}/data.html",
    }
    return links | ({"error report": f"{run_page}/artifacts/{ERRORS}/{PAGE}"} if errors else {})


def show_cards(context: LoopContext, candidate: ModelVersion) -> None:
    """Show the model card and the data card, with a link to their pages in MLflow."""
    classifier = candidate.classifier
    version = candidate.version
    cards = stored_cards(context.settings.reports, classifier, version)
    pages = f"{context.settings.mlflow_url}{context.registry.run_page(classifier, version)}"
    links = {f"{name} card": f"{pages}/artifacts/{CARDS}/{name}.html" for name in cards}
    text = "\n\n".join([links_line(links), *map(as_markdown, cards.values())])
    create_markdown_artifact(
        text,
        key=artifact_key("cards", classifier),
        description=f"{classifier} version {version}: model card and data card",
    )


def show_no_candidate(classifier: str, verdict: Verdict, *, reason: str) -> None:
    """Show why a run made no candidate: it waits, or it failed."""
    create_markdown_artifact(
        render_no_candidate(classifier, verdict, reason=reason),
        key=artifact_key("verdict", classifier),
        description=f"{classifier}: {verdict.kind}",
    )


def artifact_key(*words: str) -> str:
    """Return a Prefect key: it may hold lower-case letters, digits and dashes only."""
    return re.sub(r"[^a-z0-9]+", "-", "-".join(words).lower()).strip("-")
