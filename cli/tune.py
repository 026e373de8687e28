"""`perennial tune`: searches for better settings of a head."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from cli.flow import Verbose
from cli.output import Json, output

if TYPE_CHECKING:
    from operations.tuning import TunedByHand

Seconds = Annotated[
    float | None,
    typer.Option(min=1, max=86_400, help="Budget of the search. By default that of the block."),
]
Processes = Annotated[
    int | None,
    typer.Option(min=1, max=64, help="Processes that search at once. By default one per core."),
]


def register(app: typer.Typer) -> None:
    """Add `tune`."""
    app.command(epilog="Example: perennial tune block --seconds 300 --processes 2")(tune)


def tune(
    classifier: Annotated[str, typer.Argument(help="A classifier of params.yaml.")],
    seconds: Seconds = None,
    processes: Processes = None,
    verbose: Verbose = False,
    json: Json = False,
) -> None:
    """Search for better settings of a head and offer them as a commit.

    Settings are judged on training phrases that the head never saw; test rows choose nothing.
    Your files stay as they are: the change of params.yaml is on a branch, and the command prints
    how to take it over. A killed or interrupted search continues while the rows are the same.
    """
    from cli.stages import shown_stages
    from core.params.schema import load_params
    from core.settings import load_settings
    from machine.environment import open_flow_database

    settings = load_settings()
    load_params(settings.repository / "params.yaml").classifier(classifier)
    out = output()
    with shown_stages(settings, "tune", verbose=verbose), open_flow_database(settings):
        from operations.tuning import tune_by_hand

        tuned = tune_by_hand(
            settings,
            classifier,
            seconds=seconds,
            processes=processes or 0,
            now=datetime.now(UTC),
        )
    out.result(tuned, tuned_lines(tuned))


def tuned_lines(tuned: TunedByHand) -> list[str]:
    """Return the result, the change and how to take it over."""
    lines = [f"{tuned.tuning.classifier}: {line}" for line in tuned.tuning.lines]
    if tuned.branch:
        lines += [*tuned.tuning.diff.splitlines(), f"take it over: git cherry-pick {tuned.branch}"]
    return [*lines, f"all trials: {tuned.folder}"]
