"""`perennial status`: what needs attention, how every classifier stands, and what runs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import typer

from cli.lines import fact_lines
from cli.output import NEGATIVE_VERDICT, Json, Output, output
from core.english import counted

if TYPE_CHECKING:
    from core.contracts import Deployment, Rollout
    from machine.schedules import Schedule
    from machine.standings import Standings
    from machine.status import ProgramStatus
    from monitoring.performance.quality import Quality
    from monitoring.standing import Decided, Standing

FINE = ("ready", "waiting")
PROGRAM_COLUMNS = ("name", "state", "address", "pid", "what")


def register(app: typer.Typer) -> None:
    """Add `status`."""
    app.command(epilog="Example: perennial status --json")(status)


def status(json: Json = False) -> None:
    """Show what needs attention, how every classifier stands, and every program.

    For each classifier: what answers, how good it is, the last verdicts, what waits, and when it is
    watched and retrained next. Exit code 3 when a program is not running.
    """
    from core.settings import load_settings
    from flows.answering import rollouts_of
    from machine.standings import standings_of
    from machine.status import status as look

    settings = load_settings()
    out = output()
    programs = look(settings)
    rollouts = rollouts_of(settings)
    standings = standings_of(settings, rollouts, now=datetime.now(UTC))
    if out.json:
        out.line(_as_json(programs, rollouts, standings))
    else:
        out.result(None, _page(programs, rollouts, standings))
        show_programs(out, programs)
    if any(program.state not in FINE for program in programs):
        raise typer.Exit(NEGATIVE_VERDICT)


def show_programs(out: Output, programs: Sequence[ProgramStatus]) -> None:
    """List the programs with their addresses."""
    rows = [
        (row.name, row.state, row.address, row.pid or "", row.detail or row.does)
        for row in programs
    ]
    out.table({"programs": programs}, columns=PROGRAM_COLUMNS, rows=rows)


def _as_json(
    programs: Sequence[ProgramStatus], rollouts: Mapping[str, Rollout], standings: Standings
) -> dict[str, Any]:
    beside = {name: _beside(rollout) for name, rollout in rollouts.items()}
    return {
        "programs": programs,
        "champions": {
            name: rollout.champion for name, rollout in rollouts.items() if rollout.champion
        },
        "beside": {name: entries for name, entries in beside.items() if entries},
        "watched": standings.powers,
        "waiting": {
            name: "; ".join(verdict.sentence for verdict in verdicts)
            for name, verdicts in standings.unfinished.items()
        },
        "classifiers": standings.classifiers,
        "schedules": standings.schedules,
        "attention": list(_attention(programs, standings.classifiers.values())),
    }


def _page(
    programs: Sequence[ProgramStatus], rollouts: Mapping[str, Rollout], standings: Standings
) -> Iterator[str]:
    attention = list(_attention(programs, standings.classifiers.values()))
    if attention:
        yield "Needs attention:"
        yield from (f"  {line}" for line in attention)
        yield ""
    for name in dict.fromkeys([*rollouts, *standings.classifiers]):
        rollout = rollouts.get(name)
        yield f"{name}: {_answering(rollout.champion if rollout else None)}"
        yield from fact_lines(_facts(name, rollout, standings))
        yield ""


def _attention(programs: Iterable[ProgramStatus], standings: Iterable[Standing]) -> Iterator[str]:
    """Programs that do not run come first, then what the classifiers need, the gravest first."""
    broken = [program for program in programs if program.state not in FINE]
    if broken and all(program.state == "down" for program in programs):
        yield "no program runs: `perennial up`"
    else:
        yield from (f"{row.name}: {row.state} {row.detail}".rstrip() for row in broken)
    needs = [(need, row.classifier) for row in standings for need in row.attention]
    for need, classifier in sorted(needs, key=lambda pair: pair[0].rank):
        yield f"{classifier}: {need.text}"


def _answering(champion: Deployment | None) -> str:
    if champion is None:
        return "no version answers yet"
    return f"version {champion.model.version} answers since {_moment(champion.since)}"


def _facts(name: str, rollout: Rollout | None, standings: Standings) -> Iterator[tuple[str, str]]:
    if rollout and (beside := _beside(rollout)):
        yield "beside", ", ".join(map(_role, beside))
    if standing := standings.classifiers.get(name):
        yield from _standing_facts(standing)
    if power := standings.powers.get(name):
        yield "watched", power
    if schedules := standings.schedules.get(name):
        yield "next", ", ".join(map(_schedule, schedules))


def _standing_facts(standing: Standing) -> Iterator[tuple[str, str]]:
    if standing.quality:
        yield "quality", _quality(standing.quality)
    if standing.version:
        yield "answers", f"{standing.answers_of_last_day:,} in the last day"
    if standing.drift:
        yield "drift", _decided(standing.drift)
    if standing.gate:
        yield "training", _decided(standing.gate)
    for number, text in enumerate(standing.waits):
        yield "" if number else "waits", text


def _beside(rollout: Rollout) -> list[Deployment]:
    return [entry for entry in (rollout.canary, rollout.shadow) if entry]


def _role(entry: Deployment) -> str:
    share = f" {100 * entry.share:g} %" if entry.role == "canary" else ""
    return f"{entry.role}{share}: version {entry.model.version} since {_moment(entry.since)}"


def _quality(quality: Quality) -> str:
    """Say what labels show, then what confidence estimates, of how many answers."""
    answers = counted(quality.answers, "answer")
    estimate = f"estimated accuracy {quality.estimated_accuracy:.3f} of {answers}"
    if quality.sampled_accuracy is not None:
        interval = f"{quality.sampled_low:.3f} to {quality.sampled_high:.3f}"
        share = f"{quality.sampled_accuracy:.3f} ({interval})"
        sampled = f"{share} right by {quality.sampled:,} sampled labels"
        return f"{sampled}; {estimate}"
    if quality.labelled:
        return f"{quality.right:,} of {quality.labelled:,} labels agree with it; {estimate}"
    return f"no labels of the last 90 days; {estimate}"


def _decided(decided: Decided) -> str:
    return f"{decided.kind} at {_moment(decided.decided_at)}: {decided.reason}"


def _schedule(schedule: Schedule) -> str:
    if schedule.paused:
        return f"{schedule.flow} paused"
    if schedule.next_run is None:
        return f"{schedule.flow} not planned yet"
    return f"{schedule.flow} {_moment(schedule.next_run)}"


def _moment(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M}"
