"""`perennial history`: how many years of history a classifier needs."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from cli.output import Json, output

if TYPE_CHECKING:
    from pipelines.history import HistoryComparison, HistoryWindow

Years = Annotated[int, typer.Option(min=1, max=50, help="The longest window to try, in years.")]


def register(app: typer.Typer) -> None:
    """Add `history`."""
    app.command(epilog="Example: perennial history block --years 5")(history)


def history(
    classifier: Annotated[str, typer.Argument(help="A classifier of params.yaml.")],
    years: Years = 5,
    json: Json = False,
) -> None:
    """Train on 1 to 5 years back and recommend the shortest window that is as good.

    Every window is judged on the same newest test rows. Nothing is registered. The recommendation
    is a value for `history_days` in params.yaml; `auto` there lets a retraining choose.
    """
    from core.settings import load_settings
    from machine.environment import open_flow_database

    settings = load_settings()
    out = output()
    with open_flow_database(settings):
        from operations.history import compare_history

        comparison, folder = compare_history(
            settings, classifier, years=years, now=datetime.now(UTC), report=out.say
        )
    columns = ("days", "rows", "weighted F1", "behind", "at most", "CPU seconds", "enough")
    value = {"comparison": comparison, "folder": str(folder)}
    out.table(value, columns=columns, rows=[_row(window) for window in comparison.windows])
    if not out.json:
        out.say(_recommendation(comparison))
        out.say(f"picture and figures: {folder}")


def _row(window: HistoryWindow) -> tuple[object, ...]:
    return (
        window.days,
        f"{window.rows:,}",
        f"{window.weighted_f1:.4f}",
        f"{window.behind:.4f}",
        f"{window.behind_at_most:.4f}",
        window.seconds,
        "yes" if window.enough else "no",
    )


def _recommendation(comparison: HistoryComparison) -> str:
    from pipelines.history_choice import describe_saving

    windows = {window.days: asdict(window) for window in comparison.windows}
    longest = asdict(comparison.windows[-1])
    saving = describe_saving(windows[comparison.recommended], longest)
    if len(windows) == 1:
        saving = "the data go no further back"
    return f"recommended: `history_days: {comparison.recommended}`; {saving}"
