"""When to retrain, what answers, and what else to do: one small object per policy.

A policy is its switches and two hooks. To add one, subclass `Policy`, override what differs, and
name it in `POLICIES`.
"""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

from operations.simulation.answering import Answering
from operations.simulation.candidates import fit_on_all
from operations.simulation.memory import RunningMemory
from operations.simulation.production import Production
from operations.simulation.schedule import fell_due
from operations.simulation.source import Source

MONDAY = 0


@dataclass(frozen=True)
class Policy:
    """Never retrains.

    Attributes
    ----------
    memory : a memory of phrases stands beside the head
    serves_all_rows : the head that answers has learnt the test rows and the feedback, too
    promotes_equals : a candidate that is not better is promoted, as in earlier releases
    """

    name: str = "never"
    memory: bool = False
    serves_all_rows: bool = False
    sees_truth: bool = False
    promotes_equals: bool = False

    def begin(self, production: Production) -> None:
        """Fit the first version, before day 0."""
        production.serves_all_rows = self.serves_all_rows
        production.promotes_equals = self.promotes_equals
        production.memory = RunningMemory() if self.memory else None
        production.retrain("first")

    def hourly(self, production: Production) -> None:
        """After the labels of some hours came."""

    def daily(self, production: Production) -> None:
        """Once a day, at night."""


@dataclass(frozen=True)
class WeeklyPolicy(Policy):
    """As the release before: by the block's schedule, and for drift when the watch calls it."""

    name: str = "weekly"
    promotes_equals: bool = True

    def daily(self, production: Production) -> None:
        verdict = production.watch()
        if verdict.kind == "drift":
            production.retrain("drift")
        if fell_due(production.block.schedule, now=production.now):
            production.retrain("schedule")


@dataclass(frozen=True)
class DriftPolicy(Policy):
    """Retrains for drift only."""

    name: str = "drift"

    def daily(self, production: Production) -> None:
        verdict = production.watch()
        if verdict.kind == "drift":
            production.retrain("drift")


@dataclass(frozen=True)
class DefaultPolicy(WeeklyPolicy):
    """The new default: the served head has learnt every row; the memory is renewed hourly."""

    name: str = "default"
    memory: bool = True
    serves_all_rows: bool = True
    promotes_equals: bool = False

    def hourly(self, production: Production) -> None:
        production.remember()


@dataclass(frozen=True)
class BoundPolicy(Policy):
    """The best possible: all true labels at once; a memory always new, a head fitted every week."""

    name: str = "bound"
    memory: bool = True
    sees_truth: bool = True

    def begin(self, production: Production) -> None:
        production.memory = RunningMemory()
        self._learn(production)
        self._fit(production)

    def hourly(self, production: Production) -> None:
        self._learn(production)

    def daily(self, production: Production) -> None:
        if production.now.weekday() == MONDAY:
            self._fit(production)

    @staticmethod
    def _learn(production: Production) -> None:
        assert production.memory is not None
        rows = production.source.rows_known(production.now, delayed=False)
        known = production.remembered_rows
        production.memory.add(production.source.given(rows[known:]))
        production.remembered_rows = len(rows)
        changed = production.memory.renew()
        production.learnt_source_at = production.now
        production.learnt_labels_at = production.now
        if production.answering is not None:
            production.answering.forget(changed)

    @staticmethod
    def _fit(production: Production) -> None:
        assert production.memory is not None
        head = fit_on_all(
            true_rows(production.source, production),
            block=production.block,
            vectors=production.vectors,
            seed=production.machinery.seed,
            min_rows=BOUND_MIN_ROWS,
        )
        production.answering = Answering(
            head, production.vectors, version="bound", memory=production.memory.evidence
        )


BOUND_MIN_ROWS = 5


def true_rows(source: Source, production: Production) -> pa.Table:
    """The rows that occurred so far, with their labels, however late the source gets them."""
    return source.table.take(source.rows_known(production.now, delayed=False))


POLICIES = {
    policy.name: policy
    for policy in (
        Policy(),
        WeeklyPolicy(),
        DriftPolicy(),
        DefaultPolicy(),
        BoundPolicy(),
    )
}
