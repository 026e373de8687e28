"""Writes the summary of the demo: a table for people and JSON for programs."""

from __future__ import annotations

from typing import Any

import orjson

from core.settings import Settings


def write_summary(
    settings: Settings,
    *,
    scale: str,
    parts: list[dict[str, Any]],
    figures: dict[str, Any],
) -> dict[str, Any]:
    """Write build/demo/summary.json and return what it holds."""
    summary = {
        "scale": scale,
        "seconds": round(sum(part["seconds"] for part in parts), 1),
        "parts": parts,
        "figures": figures,
        "addresses": {
            "console (start here)": settings.console_url,
            "Prefect (flow runs)": settings.prefect_url,
            "MLflow (versions)": settings.mlflow_url,
            "Evidently (drift)": settings.evidently_url,
            "service": f"{settings.service_url}/v1/classifiers",
        },
        "files": {"drift reports": _reports_folder(settings)},
    }
    path = settings.repository / "build" / "demo" / "summary.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(orjson.dumps(summary, option=orjson.OPT_INDENT_2))
    return summary


def _reports_folder(settings: Settings) -> str:
    """The folder of the reports, relative to the repository when it is inside it."""
    if settings.reports.is_relative_to(settings.repository):
        return str(settings.reports.relative_to(settings.repository))
    return str(settings.reports)


def summary_lines(summary: dict[str, Any]) -> list[str]:
    """Return the summary as a table for people."""
    figures = {
        key.replace("_", " "): value
        for key, value in summary["figures"].items()
        if not isinstance(value, dict)
    }
    rows = [
        *figures.items(),
        *summary["addresses"].items(),
        *summary["files"].items(),
        ("summary", "build/demo/summary.json"),
    ]
    width = max(len(name) for name, _ in rows)
    return [
        "",
        *(f"  {name:<{width}}  {value}" for name, value in rows),
        "",
        "Everything is still running. `make down` stops it.",
        "",
    ]
