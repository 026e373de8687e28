"""`perennial simulate`: how a quarter or a year would go with these settings."""

from __future__ import annotations

import re
import statistics
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.output import Json, output

if TYPE_CHECKING:
    from operations.simulation.own_snapshot import Simulation

LONGEST = 1096
"""Days of a simulation: three years."""
Days = Annotated[int, typer.Option(min=7, max=LONGEST, help="How many days to play.")]
Answers = Annotated[
    float | None,
    typer.Option(
        min=1,
        max=20_000,
        help="Traffic; by default that of the log's newest 90 days, else of the snapshot.",
    ),
]
Labels = Annotated[
    int,
    typer.Option(min=0, max=100_000, help="Labels of people per week, half of them corrections."),
]
Policies = Annotated[
    str,
    typer.Option(
        help="Policies to play, with spaces between: default, weekly, drift, never, bound."
    ),
]
Events = Annotated[
    str | None,
    typer.Option(
        help="As for policies: rule, names, season, topic, split, broken, silence; default: all."
    ),
]
Calm = Annotated[bool, typer.Option("--calm", help="Play without any event.")]
Seed = Annotated[int, typer.Option(min=0, help="Seed for the days and the sizes of events.")]


def register(app: typer.Typer) -> None:
    """Add `simulate`."""
    example = 'perennial simulate block --days 90 --events "rule names"'
    app.command(epilog=f"Example: {example}")(simulate)


def simulate(
    classifier: Annotated[str, typer.Argument(help="A classifier of params.yaml.")],
    days: Days = 90,
    answers_a_day: Answers = None,
    labels_a_week: Labels = 40,
    policies: Policies = "default weekly never",
    events: Events = None,
    calm: Calm = False,
    seed: Seed = 1,
    json: Json = False,
) -> None:
    """Play the coming days on your own phrases, with the settings of params.yaml.

    The loop's real functions run under a simulated clock, on a PostgreSQL of their own. The phrases
    are those of the snapshot in data/, and an oracle knows every right label. Nothing of yours is
    changed. An interrupted simulation continues where it stopped.
    """
    from core.settings import load_settings
    from operations.simulation.own_snapshot import Question
    from operations.simulation.own_snapshot import simulate as play
    from operations.simulation.policies import POLICIES

    question = Question(
        classifier=classifier,
        days=days,
        answers_a_day=answers_a_day,
        labels_a_week=labels_a_week,
        policies=_names(policies, POLICIES, "--policies"),
        events=_events(events, calm=calm),
        seed=seed,
    )
    out = output()
    simulation = play(load_settings(), question, report=out.say)
    columns = ("policy", "weighted F1", "won back", "drift", "retrainings", "labels", "CPU s")
    rows = [_row(name, own) for name, own in simulation.policies.items()]
    out.table(simulation, columns=columns, rows=rows)
    if not out.json:
        for line in _lines(simulation):
            out.say(line)


def _events(given: str | None, *, calm: bool) -> tuple[str, ...]:
    """The kinds of events that may happen; by default, all of them."""
    from operations.simulation.events import KINDS

    if given is None:
        return () if calm else KINDS
    if calm:
        raise typer.BadParameter("choose --events or --calm", param_hint="--calm")
    return _names(given, KINDS, "--events")


def _names(given: str, known: Collection[str], option: str) -> tuple[str, ...]:
    """The words of an option, each once; raises `BadParameter` for one that is not known."""
    names = tuple(dict.fromkeys(re.findall(r"[^\s,]+", given)))
    unknown = [name for name in names if name not in known]
    if unknown or not names:
        named = ", ".join(unknown) or "none"
        raise typer.BadParameter(f"{named}; known are {', '.join(known)}", param_hint=option)
    return names


def _row(policy: str, own: Mapping[str, Any]) -> tuple[object, ...]:
    fits = {kind: count for kind, count in own["fits"].items() if count}
    retrainings = fits.pop("retrainings", 0)
    drift = own["drift"]
    return (
        policy,
        f"{own['weighted_f1'][0]:.4f}",
        _won_back(own["events"]),
        f"{drift['called']} called, {drift['large_events_missed']} missed, "
        f"{drift['without_event']} without event",
        f"{retrainings}" + (f" ({_counts(fits)})" if fits else ""),
        f"{own['labels'][0]:.0f}",
        f"{own['cpu_seconds'][0]:.0f}",
    )


def _counts(fits: Mapping[str, int]) -> str:
    return ", ".join(f"{kind.replace('_', ' ')} {count}" for kind, count in fits.items())


def _won_back(events: Collection[Mapping[str, Any]]) -> str:
    """How many events that cost something were won back, and after how many days."""
    counted = [event for event in events if event["loss"]]
    days = [event["days"] for event in counted if event["days"] is not None]
    if not counted:
        return "-"
    middle = f", {statistics.median(days):.0f} days" if days else ""
    return f"{len(days)} of {len(counted)}{middle}"


def _lines(simulation: Simulation) -> list[str]:
    events = [
        f"{event['kind']} {event['size']:.0%} from day {event['first']}"
        for event in simulation.events
    ]
    lines = [
        f"{simulation.days} days of {simulation.answers_a_day:,.0f} answers "
        f"({simulation.traffic}), {simulation.labels_a_week} labels a week, seed {simulation.seed}",
        f"events: {'; '.join(events) or 'none'}",
    ]
    if simulation.left_out:
        lines.append(f"these phrases do not allow: {', '.join(simulation.left_out)}")
    return [*lines, *simulation.advice, f"picture: {simulation.picture}"]
