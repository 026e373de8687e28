"""The end of the demo: a short table for people, the same as JSON for programs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

if TYPE_CHECKING:
    from flows.demo.story import Story


def write_summary(story: Story) -> dict[str, Any]:
    """Write build/demo/summary.json and say the same as a table."""
    settings = story.settings
    summary = {
        "scale": story.scale,
        "seconds": round(sum(part["seconds"] for part in story.parts), 1),
        "parts": story.parts,
        "figures": story.figures,
        "addresses": {
            "Prefect (flow runs)": settings.prefect_url,
            "MLflow (versions)": settings.mlflow_url,
            "Evidently (drift)": settings.evidently_url,
            "service": f"{settings.service_url}/v1/classifiers",
        },
        "files": {"drift reports": str(settings.reports.relative_to(settings.repository)) if _inside(story) else str(settings.reports)},
    }
    path = settings.repository / "build" / "demo" / "summary.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(orjson.dumps(summary, option=orjson.OPT_INDENT_2))
    for line in _table(summary):
        story.say(line)
    return summary


def _inside(story: Story) -> bool:
    return story.settings.reports.is_relative_to(story.settings.repository)


def _table(summary: dict[str, Any]) -> list[str]:
    figures = {key.replace("_", " "): value for key, value in summary["figures"].items() if not isinstance(value, dict)}
    rows = [*figures.items(), *summary["addresses"].items(), *summary["files"].items(), ("summary", "build/demo/summary.json")]
    width = max(len(name) for name, _ in rows)
    return ["", *(f"  {name:<{width}}  {value}" for name, value in rows), "", "Everything is left running; `make down` stops it.", ""]
