"""The loop as stations with their live state, for the picture of the overview."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from machine.journals import Waiting
from machine.running import RunningFlow
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
    standings: Sequence[Standing], running: Sequence[RunningFlow] | None, waiting: Waiting
) -> list[Station]:
    """Return the stations in the order in which rows travel."""
    answering = sum(row.version is not None for row in standings)
    answers = sum(row.answers_of_last_day for row in standings)
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
        Station(
            "Log", f"{answers:,} answers in the last day, {waiting.rows:,} rows in the journal"
        ),
        Station("Watch", f"{moved} moved" if moved else "no drift", bool(moved)),
        Station("People", _people(standings), any(row.attention for row in standings)),
    ]


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
