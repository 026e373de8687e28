"""How the loop and every classifier stand; what needs a person comes first."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from console.access.people import Viewer
from console.rendering import render
from console.state import ConsoleState, State
from core.deployments import current_champions
from machine.standings import read_standings
from monitoring.quality import Quality
from monitoring.standing import Decided, Standing

router = APIRouter()


@dataclass(frozen=True)
class Row:
    """One classifier in the table."""

    classifier: str
    version: str | None
    since: datetime | None
    quality: str
    answers: int
    drift: str
    gate: str
    waits: str


@router.get("/")
def overview(request: Request, state: State, person: Viewer) -> HTMLResponse:
    """Show every classifier."""
    standings = _standings(state)
    needs = [(need.rank, row.classifier, need.text) for row in standings for need in row.attention]
    return render(
        request,
        "overview.html",
        attention=[(name, text) for _, name, text in sorted(needs)],
        rows=[_row(standing) for standing in standings],
    )


def _standings(state: ConsoleState) -> list[Standing]:
    blocks = state.context.params.classifiers
    with state.reading() as connection:
        answering = current_champions(connection)
        champions = {name: answering.get(name) for name in [*blocks, *answering]}
        standings = read_standings(connection, champions, blocks, now=state.clock())
    return list(standings.classifiers.values())


def _row(standing: Standing) -> Row:
    return Row(
        classifier=standing.classifier,
        version=standing.version,
        since=standing.since,
        quality=_quality(standing.quality),
        answers=standing.answers_of_last_day,
        drift=_decided(standing.drift),
        gate=_decided(standing.gate),
        waits="; ".join(standing.waits),
    )


def _quality(quality: Quality | None) -> str:
    if quality is None:
        return "no answers yet"
    if quality.sampled_accuracy is not None:
        return f"{quality.sampled_accuracy:.3f} ({quality.sampled:,} sampled labels)"
    return f"{quality.estimated_accuracy:.3f} estimated"


def _decided(decided: Decided | None) -> str:
    return f"{decided.kind}, {decided.decided_at:%Y-%m-%d %H:%M}" if decided else "never"
