"""Artifacts of a flow in the Prefect UI: check results, verdicts, plots, links."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from prefect.artifacts import create_markdown_artifact, create_table_artifact

from core.contracts import ModelVersion, Verdict

VERDICTS = {
    "promote": "The candidate answers from now on.",
    "keep": "The candidate is neither worse nor better. The champion stays.",
    "reject": "The candidate harms. The champion stays.",
    "undecided": "The test rows prove neither harm nor its absence. The champion stays.",
    "hold": "The candidate waits for a person: `perennial rollout promote` or `reject`.",
    "wait": "The run promoted nothing. The champion stays.",
    "failed": "The classifier could not be trained. The champion stays.",
}
PLOTS = ("reliability.png", "confusions.png", "f1_by_support.png")


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
    folder: Path,
    candidate: ModelVersion,
    verdict: Verdict,
    *,
    reason: str,
    mlflow_url: str,
    comparison: str = "",
) -> None:
    """Show a page per candidate: verdict, reasons, evidence, plots and links.

    `comparison` is the Markdown table of the compared heads, empty without any.
    """
    classifier = candidate.classifier
    version = candidate.version
    plots = "\n\n".join(_inline(folder / name) for name in PLOTS if (folder / name).exists())
    link = f"[{classifier} {version}]({mlflow_url}/#/models/{classifier}/versions/{version})"
    page = f"""# {classifier} version {version}: {verdict.kind}

{VERDICTS.get(verdict.kind, "")}

{_bullets(verdict.reasons)}

Reason: **{reason}**. MLflow: {link}

{_table(verdict.evidence)}

{comparison}
{plots}
"""
    create_markdown_artifact(
        page,
        key=artifact_key("verdict", classifier),
        description=f"{classifier}: {verdict.kind}",
    )


def show_no_candidate(classifier: str, verdict: Verdict, *, reason: str) -> None:
    """Show why a run made no candidate: it waits, or it failed."""
    page = f"""# {classifier}: {verdict.kind}

{VERDICTS.get(verdict.kind, "")}

{_bullets(verdict.reasons)}

Reason: **{reason}**.

{_table(verdict.evidence)}
"""
    create_markdown_artifact(
        page,
        key=artifact_key("verdict", classifier),
        description=f"{classifier}: {verdict.kind}",
    )


def artifact_key(*words: str) -> str:
    """Return a Prefect key: it may hold lower-case letters, digits and dashes only."""
    return re.sub(r"[^a-z0-9]+", "-", "-".join(words).lower()).strip("-")


def _bullets(reasons: tuple[str, ...]) -> str:
    return "\n".join(f"- {reason}" for reason in reasons)


def _table(evidence: Mapping[str, Any]) -> str:
    rows = "\n".join(f"| {key.replace('_', ' ')} | {value} |" for key, value in evidence.items())
    return f"| evidence | value |\n|---|---|\n{rows}"


def _inline(path: Path) -> str:
    return f"![{path.stem}](data:image/png;base64,{base64.b64encode(path.read_bytes()).decode()})"
