"""`perennial performance`: how good the answers were, as a report."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from cli.output import Json, output

Classifier = Annotated[str, typer.Argument(help="A classifier of params.yaml.")]
COLUMNS = ("week", "answers", "estimate", "accuracy", "interval", "weighted F1", "judged by")


def register(app: typer.Typer) -> None:
    """Add `performance`."""
    app.command(epilog="Example: perennial performance block")(performance)


def performance(classifier: Classifier, json: Json = False) -> None:
    """Report how good the answers of the last 90 days were, with 95 % intervals.

    Writes an HTML file with the same by version, region and label. The flow `performance` does
    this every week for all classifiers.
    """
    from core.params.schema import load_params
    from core.settings import load_settings
    from machine.environment import open_flow_database

    settings = load_settings()
    load_params(settings.repository / "params.yaml").classifier(classifier)
    with open_flow_database(settings):
        from flows.performance import run_performance

        verdict = run_performance(settings, [classifier])[classifier]
    out = output()
    rows = [_cells(week) for week in verdict.evidence["weeks"]]
    out.table({"performance": verdict}, columns=COLUMNS, rows=rows)
    if not out.json:
        for reason in verdict.reasons:
            out.say(reason)
        out.say(f"by version, region and label: {verdict.evidence['page']}")


def _cells(week: dict[str, Any]) -> tuple[str, ...]:
    from monitoring.performance.report import BASIS

    judges = week["judges"]
    is_judged = week["accuracy"] is not None
    return (
        week["week"],
        f"{week['answers']:,}",
        f"{week['estimated_accuracy']:.3f}",
        f"{week['accuracy']:.3f}" if is_judged else "",
        f"{week['accuracy_low']:.3f} to {week['accuracy_high']:.3f}" if is_judged else "",
        f"{week['weighted_f1']:.3f}" if is_judged else "",
        f"{judges} {BASIS[week['basis']]}" if judges else BASIS["none"],
    )
