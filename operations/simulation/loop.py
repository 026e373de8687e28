"""One run: plays a policy over the simulated days of a world."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy.engine import Engine
from threadpoolctl import threadpool_limits

from operations.simulation.arrivals import Arrivals
from operations.simulation.events import WON_BACK
from operations.simulation.observer import Observer
from operations.simulation.people import LABELS_A_WEEK, People, PersonLabel
from operations.simulation.policies import Policy
from operations.simulation.production import Machinery, Production
from operations.simulation.source import Source, request_ids
from operations.simulation.world import EPOCH, World

TICKS = 4
"""Stretches of a day: labels come and revisions are made at the end of each."""
_TICK_SECONDS = 86_400 // TICKS


@dataclass(frozen=True, eq=False)
class Year:
    """A world with all that arrives in it, shared by the policies that live through it."""

    world: World
    arrivals: list[Arrivals]
    source: Source
    labels_a_week: int = LABELS_A_WEEK

    @classmethod
    def draw(cls, world: World, *, days: int, labels_a_week: int = LABELS_A_WEEK) -> Year:
        """Draw so many days of a world; equal worlds give equal years."""
        arrivals = [world.day(day) for day in range(days)]
        return cls(world, arrivals, Source(world, arrivals), labels_a_week)

    def labelled_day(self, number: int) -> int | None:
        """The day on which the phrases of most of an event's traffic have a true label.

        Most is the share of the loss that is to be won back; the labels are those of the source.
        None: not within the year.
        """
        event = self.world.calendar[number]
        rows = self.world.judging(event.first)
        phrases = rows.cleaned[rows.event == number]
        if not len(phrases):
            return None
        brought = np.concatenate([arrivals.event for arrivals in self.arrivals]) == number
        chosen = np.flatnonzero(brought) + self.source.past_rows
        first: dict[str, float] = {}
        for row in chosen[np.argsort(self.source.arrives[chosen], kind="stable")].tolist():
            first.setdefault(self.source.cleaned[row], self.source.arrives[row])
        moments = np.sort([first.get(phrase, np.inf) for phrase in phrases.tolist()])
        moment = moments[math.ceil(WON_BACK * len(moments)) - 1]
        return None if moment > 86_400 * len(self.arrivals) else int(moment // 86_400)

    def observer(self) -> Observer:
        last_seen: dict[str, int] = {}
        for day, arrivals in enumerate(self.arrivals):
            last_seen.update(dict.fromkeys(arrivals.cleaned.tolist(), day))
        return Observer(self.world, self.source.past_counts(), last_seen)

    def people(self) -> People:
        a_week = 7 * sum(map(len, self.arrivals)) / len(self.arrivals)
        return People(
            seed=self.world.seed,
            labels=self.world.labels,
            calendar=self.world.calendar,
            answers_a_week=a_week,
            labels_a_week=self.labels_a_week,
        )


@dataclass(frozen=True, eq=False)
class Place:
    """Where a run happens."""

    engine: Engine
    folder: Path
    machinery: Machinery


def play(
    year: Year, policy: Policy, place: Place, *, report: Callable[[int], None] = lambda day: None
) -> dict[str, Any]:
    """Let the policy live through the year; return the oracle's notes.

    `report` gets each day before it is lived.
    """
    run = _Run(year, policy, place)
    wall = time.perf_counter()
    cpu = time.process_time()

    with threadpool_limits(limits=1):  # tenfold: threads wait for each other
        policy.begin(run.production)
        for day in range(len(year.arrivals)):
            report(day)
            run.live(day)
    notes_of_time = {
        "cpu_seconds": round(time.process_time() - cpu, 1),
        "wall_seconds": round(time.perf_counter() - wall, 1),
    }

    notes = run.observer.notes
    notes["watched"] = [
        [(moment - EPOCH).days, verdict.kind, bool(verdict.evidence.get("broken_client"))]
        for moment, verdict in run.production.watched
        if verdict.kind != "insufficient"
    ]
    notes["calendar"] = [
        {**asdict(event), "labelled": year.labelled_day(number)}
        for number, event in enumerate(year.world.calendar)
    ]
    return notes | notes_of_time


class _Run:
    """The clock of one run."""

    def __init__(self, year: Year, policy: Policy, place: Place) -> None:
        self.year = year
        self.policy = policy
        self.people = year.people()
        self.observer = year.observer()
        self.production = Production(
            place.engine, place.folder, year.source, place.machinery, now=EPOCH
        )
        self._coming: list[PersonLabel] = []
        arrives = year.source.arrives
        self._source_order = np.argsort(arrives, kind="stable")
        self._source_place = int((arrives <= 0).sum())

    def live(self, day: int) -> None:
        """Play one day, and judge it at its end."""
        arrivals = self.year.arrivals[day]
        ids = np.array(request_ids(day, len(arrivals)), dtype=object)
        tick_of = (arrivals.second // _TICK_SECONDS).astype(int)
        self.observer.learn_truth(arrivals)
        for tick in range(TICKS):
            chosen = tick_of == tick
            self._answer(day, arrivals.only(chosen), ids[chosen].tolist())
            self.production.now = EPOCH + timedelta(days=day, seconds=(tick + 1) * _TICK_SECONDS)
            self._receive()
            self.policy.hourly(self.production)
            if tick == 0:
                self.policy.daily(self.production)
            self.observer.ask(self.production)
        self.observer.judge_day(day, self.production)

    def _answer(self, day: int, arrivals: Arrivals, ids: Sequence[str]) -> None:
        answers = self.production.answer(arrivals.cleaned.tolist())
        if self.policy.sees_truth:
            return
        self.production.log(arrivals, ids, answers, day)
        labels = [label for label, _ in answers]
        self._coming += self.people.look(day, arrivals, ids, labels)

    def _receive(self) -> None:
        now = self.production.now
        due = sorted(
            (given for given in self._coming if given.received_at <= now),
            key=lambda given: given.received_at,
        )
        self._coming = [given for given in self._coming if given.received_at > now]
        if due:
            assert self.production.answering is not None
            self.observer.note_labels(due, self.production.answering)
            self.production.receive(due)
        self._note_source()

    def _note_source(self) -> None:
        source = self.year.source
        until = (self.production.now - EPOCH).total_seconds()
        while self._source_place < len(self._source_order):
            row = self._source_order[self._source_place]
            if source.arrives[row] > until:
                return
            moment = EPOCH + timedelta(seconds=float(source.arrives[row]))
            self.observer.note_source(source.cleaned[row], source.label[row], moment)
            self._source_place += 1
