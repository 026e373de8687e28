"""What the benchmark plays: the demo's practice, and parameters as for one of its classifiers."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass

from benchmarks.harness import progress
from benchmarks.year.rules import LabelKind
from benchmarks.year.world import PracticeWorld
from core.params.schema import ClassifierParams
from core.settings import REPOSITORY
from monitoring.drift.budget import Budget
from operations.simulation.events import KINDS, draw_calendar
from operations.simulation.loop import Year
from operations.simulation.production import Machinery
from operations.simulation.runs import CODE, Runs, code_digest
from operations.simulation.vectors import Vectors
from pipelines.source.practice import Scale

RUNS = REPOSITORY / "build" / "year"
_SEED = 7
_FALSE_ALARMS = Budget.of(max_false_alarms=2.0, classifiers=3)
"""As for one of the demo's three classifiers."""


@dataclass(frozen=True)
class Setting:
    """What a simulation is about; with the seed it determines the year."""

    scale: Scale = "default"
    days: int = 365
    label: LabelKind = "block"
    calm: bool = False

    def draw(self, seed: int) -> Year:
        """Draw the year of a seed; equal seeds give equal years."""
        kinds = () if self.calm else KINDS
        calendar = draw_calendar(seed=seed, days=self.days, kinds=kinds)
        world = PracticeWorld(scale=self.scale, seed=seed, calendar=calendar, kind=self.label)
        return Year.draw(world, days=self.days)


@dataclass(frozen=True)
class Plan:
    """What is simulated, and with which parameters."""

    setting: Setting
    block: ClassifierParams

    @property
    def key(self) -> str:
        """Names code, parameters and setting: notes of another key are not reused."""
        digest = hashlib.sha256(code_digest((*CODE, "benchmarks/year")).encode())
        digest.update(json.dumps(asdict(self.setting), sort_keys=True).encode())
        digest.update(self.block.model_dump_json().encode())
        return digest.hexdigest()[:12]

    def runs(self, vectors: Vectors) -> Runs:
        """The runs of this plan, kept below RUNS."""
        machinery = machinery_of(self.block, vectors)
        return Runs(self.setting.draw, machinery, RUNS / self.key, progress)


def machinery_of(block: ClassifierParams, vectors: Vectors) -> Machinery:
    """A loop of the benchmark: seed and budget are fixed."""
    return Machinery(block, vectors, seed=_SEED, false_alarms=_FALSE_ALARMS)
