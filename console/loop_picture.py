"""The loop as stations with their live state, for the picture of the overview."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from core.english import counted
from machine.journals import Waiting
from machine.running_flows import RunningFlow
from monitoring.performance.hours import Hours
from monitoring.standing import Standing

WANTS_PEOPLE = ("drift", "needs_labels", "broken_client")
GATE_WAITS = ("hold", "undecided", "wait")


@dataclass(frozen=True)
class Station:
    """One station of the loop: its name, one line of state, and whether it needs a look."""

    name: str
    state: str
    needs_look: bool = False


def loop_stations(
    standings: Sequence[Standing],
    running: Sequence[RunningFlow] | None,
    waiting: Waiting,
    *,
    days: Sequence[Hours],
) -> list[Station]:
    """Return the stations in the order in which rows travel.

    `days` are the newest days of the classifiers that have answers.
    """
    answering = sum(row.version is not None for row in standings)
    moved = _count(standings, "drift", WANTS_PEOPLE)
    held = _count(standings, "gate", GATE_WAITS)
    return [
        Station("Train", _running(running), running is None),
        Station(
            "Gate",
            _several(held, "version waits", "versions wait", none="nothing waits"),
            bool(held),
        ),
        Station("Serve", f"{answering} of {len(standings)} answer", answering < len(standings)),
        Station("Log", f"{_answers(days)}, {counted(waiting.rows, 'row')} in the journal"),
        Station(
            "Watch",
            _several(moved, "classifier moved", "classifiers moved", none="no drift"),
            bool(moved),
        ),
        Station("People", _people(standings), any(row.attention for row in standings)),
    ]


def _answers(days: Sequence[Hours]) -> str:
    """Count the answers of the last day; where there are none, say which days are counted."""
    last = [day for day in days if day.until is None]
    answers = sum(day.total for day in last)
    earlier = [day for day in days if day.until is not None]
    if answers or not earlier:
        return f"{counted(answers, 'answer')} in the last day"
    newest = max(day.until for day in earlier if day.until)
    total = sum(day.total for day in earlier)
    return f"{counted(total, 'answer')} in the newest day of each, up to {newest:%Y-%m-%d %H:%M}"


def _running(running: Sequence[RunningFlow] | None) -> str:
    if running is None:
        return "Prefect does not answer"
    return _several(len(running), "flow runs", "flows run", none="no flow runs")


def _people(standings: Sequence[Standing]) -> str:
    needs = sum(len(row.attention) for row in standings)
    return _several(needs, "thing to decide", "things to decide", none="nothing to decide")


def _several(count: int, single: str, plural: str, *, none: str) -> str:
    counted = f"{count:,} {single if count == 1 else plural}"
    return counted if count else none


def _count(standings: Sequence[Standing], subject: str, kinds: Sequence[str]) -> int:
    decisions = [getattr(row, subject) for row in standings]
    return sum(entry is not None and entry.kind in kinds for entry in decisions)
