"""`perennial demo`, `snapshot`, `retrain`, `watch` and `remember`: run the flows by hand."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from cli.output import FAILED, NEGATIVE_VERDICT, Json, Output, output

if TYPE_CHECKING:
    from core.contracts import Verdict
    from core.settings import Settings

Classifiers = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[CLASSIFIER]...", help="Classifiers of params.yaml. By default, all of them."
    ),
]
Reason = Annotated[str, typer.Option(help="Recorded with the verdict and in MLflow.")]
AsOf = Annotated[
    datetime | None,
    typer.Option(formats=["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"], help="A time in UTC. By default, now."),
]
Trial = Annotated[
    bool,
    typer.Option(
        "--trial", help="Include uncommitted changes, register nothing, and show the result."
    ),
]
Act = Annotated[
    bool,
    typer.Option(
        "--act", help="Retrain drifting classifiers at once, instead of sending an event."
    ),
]
Demo = Annotated[
    bool, typer.Option("--demo", help="Rebuild the demo source and use it: the data in data.dvc.")
]
Verbose = Annotated[
    bool, typer.Option("--verbose", help="Show the log here, instead of in var/logs.")
]
Scale = Annotated[
    Literal["default", "small"],
    typer.Option(help="`default` (over 200,000 rows) or `small` (20,000 rows)."),
]


def register(app: typer.Typer) -> None:
    """Add `demo`, `snapshot`, `retrain`, `watch` and `remember`."""
    app.command(epilog="Example: perennial demo --scale small")(demo)
    app.command(epilog="Example: perennial snapshot block --as-of 2026-03-01")(snapshot)
    app.command(epilog="Example: perennial retrain chapter block --reason 'new coding rule'")(
        retrain
    )
    app.command(epilog="Example: perennial watch block --act")(watch)
    app.command(epilog="Example: perennial remember block")(remember)


def demo(scale: Scale = "default", verbose: Verbose = False, json: Json = False) -> None:
    """Run the whole loop on demo data and leave the services running."""
    from cli.stages import shown_stages
    from core.settings import load_settings
    from operations.demo.story import prepare_demo, run_demo
    from operations.demo.summary import summary_lines

    settings = load_settings()
    prepare_demo(settings)
    with shown_stages(settings, "demo", verbose=verbose):
        summary = run_demo(settings, scale=scale)
    output().result(summary, summary_lines(summary))


def snapshot(
    classifiers: Classifiers = None, as_of: AsOf = None, demo: Demo = False, json: Json = False
) -> None:
    """Write the labelled rows as of one moment to data/ and track them with DVC."""
    from core.settings import load_settings
    from machine.environment import open_flow_database

    if demo and as_of:
        raise typer.BadParameter(
            "--demo sets its own time; leave out --as-of", param_hint="--as-of"
        )
    settings = load_settings()
    out = output()
    moment = as_of.replace(tzinfo=UTC) if as_of else datetime.now(UTC)
    _require_known(settings, classifiers)
    with open_flow_database(settings), out.working("writing the snapshot"):
        from flows.snapshot import take_snapshot

        taken = take_snapshot(settings, classifiers or [], as_of=moment, demo=demo)
    rows = [
        (row.dataset, row.rows, f"{row.as_of:%Y-%m-%d %H:%M}", row.logical_hash) for row in taken
    ]
    out.table({"snapshots": taken}, columns=("dataset", "rows", "as of", "hash"), rows=rows)


def retrain(
    classifiers: Classifiers = None,
    reason: Reason = "manual",
    trial: Trial = False,
    verbose: Verbose = False,
    json: Json = False,
) -> None:
    """Snapshot, check, train, compare and decide.

    Exit code 0 when every verdict is "promote" or "keep" (an equal candidate leaves the champion in
    place), 3 otherwise. A classifier that cannot be trained does not stop the others; the exit code
    is then 1.

    With --trial, the verdicts are what a retraining would say of the working tree.
    """
    from cli.retrained import retrained_lines
    from cli.stages import shown_stages
    from core.settings import load_settings
    from machine.environment import open_flow_database

    settings = load_settings()
    out = output()
    _require_known(settings, classifiers)
    if trial:
        _try(settings, out, classifiers or [], verbose=verbose)
        return
    count = len(classifiers) if classifiers else None
    with (
        shown_stages(settings, "retrain", verbose=verbose, classifiers=count),
        open_flow_database(settings),
    ):
        from flows.retrain import run_retrain

        verdicts = run_retrain(settings, classifiers or [], reason=reason)
    out.result({"verdicts": verdicts}, retrained_lines(verdicts, settings))
    _exit(verdicts, good={"promote", "keep"})


def _try(settings: Settings, out: Output, classifiers: list[str], *, verbose: bool) -> None:
    from cli.stages import shown_stages
    from machine.environment import open_flow_database

    count = len(classifiers) or None
    with (
        shown_stages(settings, "retrain", verbose=verbose, classifiers=count),
        open_flow_database(settings),
    ):
        from flows.trial import run_trial

        trials = run_trial(settings, classifiers, now=datetime.now(UTC))
    rows = [
        (
            name,
            trial.verdict.kind,
            f"{trial.scores['weighted_f1']:.4f}" if trial.scores else "",
            trial.verdict.evidence.get("champion_weighted_f1", ""),
            "; ".join(trial.verdict.reasons),
        )
        for name, trial in trials.items()
    ]
    columns = ("classifier", "would be", "weighted F1", "champion", "reasons")
    out.table({"trials": trials}, columns=columns, rows=rows)
    for trial in trials.values():
        if trial.scores and not out.json:
            out.say(f"pictures and figures: {trial.folder}")
    _exit({name: trial.verdict for name, trial in trials.items()}, good={"promote", "keep"})


def watch(
    classifiers: Classifiers = None,
    act: Act = False,
    verbose: Verbose = False,
    json: Json = False,
) -> None:
    """Look for drift in the answered phrases.

    Exit code 3 when a classifier drifts, a drift lacks labels, or a client sends damaged phrases.

    With --act, exit code 3 when a classifier drifts and its retraining says no.
    """
    from cli.stages import shown_stages
    from core.settings import load_settings
    from machine.environment import open_flow_database

    settings = load_settings()
    out = output()
    _require_known(settings, classifiers)
    with shown_stages(settings, "watch", verbose=verbose), open_flow_database(settings):
        from flows.watch import run_watch

        verdicts = run_watch(settings, classifiers or [], act=act)
    _show(out, verdicts, good={"steady", "warning", "insufficient", "promote", "keep"})


def remember(classifiers: Classifiers = None, json: Json = False) -> None:
    """Take the labels that people sent into the memory now, instead of within the hour."""
    from core.settings import load_settings
    from machine.environment import open_flow_database

    settings = load_settings()
    out = output()
    _require_known(settings, classifiers)
    with open_flow_database(settings):
        from flows.remember import run_remember

        verdicts = run_remember(settings, classifiers or [])
    _show(out, verdicts, good={"renewed", "current", "waiting"})


def _require_known(settings: Settings, classifiers: list[str] | None) -> None:
    """Refuse a misspelt name before any database starts."""
    from core.params.schema import load_params

    params = load_params(settings.repository / "params.yaml")
    for name in classifiers or []:
        params.named(name)


def _show(out: Output, verdicts: Mapping[str, Verdict], *, good: set[str]) -> None:
    rows = [(name, verdict.kind, "; ".join(verdict.reasons)) for name, verdict in verdicts.items()]
    out.table({"verdicts": verdicts}, columns=("classifier", "verdict", "reasons"), rows=rows)
    _exit(verdicts, good=good)


def _exit(verdicts: Mapping[str, Verdict], *, good: set[str]) -> None:
    if any(verdict.kind == "failed" for verdict in verdicts.values()):
        raise typer.Exit(FAILED)
    if any(verdict.kind not in good for verdict in verdicts.values()):
        raise typer.Exit(NEGATIVE_VERDICT)
