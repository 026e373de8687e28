"""How the loop and every classifier stand; what needs a person comes first."""

from __future__ import annotations

from dataclasses import dataclass

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from console.access.people import Viewer
from console.loop_picture import loop_stations
from console.rendering import render
from console.sparklines import sparkline
from console.state import ConsoleState, State
from core.contracts import Rollout
from core.deployments import current_rollouts
from core.settings import Settings
from machine.journals import waiting_rows
from machine.running_flows import running_flows
from machine.standings import champions_of, read_standings
from monitoring.performance.hours import Hours, newest_days
from monitoring.review.queue import count_waiting
from monitoring.standing import Decided, Standing, newest_decision

router = APIRouter()
PAGES = {0: "versions", 1: "drift", 2: "review", 3: "versions", 4: "drift", 5: "versions"}
"""Where a person goes about an `Attention`, by its rank."""


@dataclass(frozen=True)
class Row:
    """One classifier in the table.

    `retraining` is why the newest retraining began; `to_review` phrases wait for a label.
    """

    standing: Standing
    rollout: Rollout | None
    hours: Hours
    retraining: Decided | None
    to_review: int

    @property
    def line(self) -> str:
        """The points of the line of answers per hour."""
        return sparkline(self.hours.answers)


@router.get("/")
def overview(request: Request, state: State, person: Viewer) -> HTMLResponse:
    """Show the loop, what needs a person, and every classifier."""
    rows = _rows(state)
    running = running_flows(state.settings)
    waiting = waiting_rows(state.settings)
    needs = [
        (need.rank, row.standing.classifier, PAGES[need.rank], need.text)
        for row in rows
        for need in row.standing.attention
    ]
    return render(
        request,
        "overview.html",
        attention=[need[1:] for need in sorted(needs)],
        rows=rows,
        running=running,
        waiting=waiting,
        stations=loop_stations(
            [row.standing for row in rows], running, waiting, days=[row.hours for row in rows]
        ),
        elsewhere=_elsewhere(state.settings),
    )


def _elsewhere(settings: Settings) -> dict[str, str]:
    """Return station -> the address that shows more of it."""
    return {
        "Train": settings.prefect_url,
        "Gate": settings.mlflow_url,
        "Serve": settings.service_url,
        "Log": "#classifiers",
        "Watch": settings.evidently_url,
        "People": "#attention",
    }


def _rows(state: ConsoleState) -> list[Row]:
    blocks = state.context.params.classifiers
    now = state.clock()
    with state.reading() as connection:
        rollouts = current_rollouts(connection)
        champions = champions_of(blocks, rollouts)
        standings = read_standings(connection, champions, blocks, now=now).classifiers
        hours = newest_days(connection, standings, now=now)
        return [
            Row(
                standing,
                rollouts.get(name),
                hours[name],
                newest_decision(connection, name, "retraining"),
                count_waiting(connection, name),
            )
            for name, standing in standings.items()
        ]
