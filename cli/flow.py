"""demo, snapshot, retrain, watch: what the flows do, called by hand."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

import typer

from cli.output import SAID_NO, Json, Output, output

Classifiers = Annotated[
    list[str] | None,
    typer.Argument(metavar="[CLASSIFIER]...", help="All of params.yaml when none is named."),
]
Reason = Annotated[str, typer.Option(help="Recorded with the verdict and in MLflow.")]
AsOf = Annotated[
    datetime | None,
    typer.Option(formats=["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"], help="UTC; now by default."),
]
Act = Annotated[
    bool, typer.Option("--act", help="Retrain at once what drifts, instead of sending the event.")
]
Demo = Annotated[
    bool, typer.Option("--demo", help="Of the demo source, built anew: what data.dvc describes.")
]
Scale = Annotated[
    Literal["default", "small"],
    typer.Option(help="`default` (over 200,000 rows) or `small` (20,000)."),
]


def register(app: typer.Typer) -> None:
    """Add `demo`, `snapshot`, `retrain` and `watch`."""
    app.command(epilog="Example: perennial demo --scale small")(demo)
    app.command(epilog="Example: perennial snapshot block --as-of 2026-03-01")(snapshot)
    app.command(epilog="Example: perennial retrain chapter block --reason 'new coding rule'")(
        retrain
    )
    app.command(epilog="Example: perennial watch block --act")(watch)


def demo(scale: Scale = "default", json: Json = False) -> None:
    """Play the whole loop on demo data, and leave the services up."""
    from core.settings import load_settings
    from operations.demo.story import run_demo

    out = output()
    summary = run_demo(load_settings(), scale=scale, say=out.say if out.json else typer.echo)
    if out.json:
        out.line(summary)


def snapshot(
    classifiers: Classifiers = None, as_of: AsOf = None, demo: Demo = False, json: Json = False
) -> None:
    """Write the labelled rows of a moment under data/ and track them with DVC."""
    from core.settings import load_settings
    from machine.environment import open_flow_database

    if demo and as_of:
        raise typer.BadParameter("the demo source has a moment of its own", param_hint="--as-of")
    settings, out, moment = (
        load_settings(),
        output(),
        as_of.replace(tzinfo=UTC) if as_of else datetime.now(UTC),
    )
    _require_known(settings, classifiers)
    with open_flow_database(settings), out.working("writing the snapshot"):
        from flows.snapshot import take_snapshot

        taken = take_snapshot(settings, classifiers or [], as_of=moment, demo=demo)
    rows = [
        (one.dataset, one.rows, f"{one.as_of:%Y-%m-%d %H:%M}", one.logical_hash) for one in taken
    ]
    out.table({"snapshots": taken}, columns=("dataset", "rows", "as of", "hash"), rows=rows)


def retrain(classifiers: Classifiers = None, reason: Reason = "manual", json: Json = False) -> None:
    """Snapshot, check, train, compare, decide; exit code 3 when a verdict is not "promote"."""
    from core.settings import load_settings
    from machine.environment import open_flow_database

    settings, out = load_settings(), output()
    _require_known(settings, classifiers)
    with open_flow_database(settings):
        from flows.retrain import run_retrain

        verdicts = run_retrain(settings, classifiers or [], reason=reason)
    _show(out, verdicts, good={"promote"})


def watch(classifiers: Classifiers = None, act: Act = False, json: Json = False) -> None:
    """Look for drift in what was answered; exit code 3 when something drifts (with --act: when its retraining is not promoted)."""
    from core.settings import load_settings
    from machine.environment import open_flow_database

    settings, out = load_settings(), output()
    _require_known(settings, classifiers)
    with open_flow_database(settings):
        from flows.watch import run_watch

        verdicts = run_watch(settings, classifiers or [], act=act)
    _show(out, verdicts, good={"steady", "warning", "insufficient", "promote"})


def _require_known(settings: Any, classifiers: list[str] | None) -> None:
    """Before anything starts: a misspelt name should cost no database."""
    from core.params import load_params

    params = load_params(settings.repository / "params.yaml")
    for name in classifiers or []:
        params.classifier(name)


def _show(out: Output, verdicts: Mapping[str, Any], *, good: set[str]) -> None:
    rows = [(name, verdict.kind, "; ".join(verdict.reasons)) for name, verdict in verdicts.items()]
    out.table({"verdicts": verdicts}, columns=("classifier", "verdict", "reasons"), rows=rows)
    if any(verdict.kind not in good for verdict in verdicts.values()):
        raise typer.Exit(SAID_NO)
