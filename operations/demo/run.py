"""One run of the demo: announces and times its steps, and collects its answers and figures."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from core.errors import MachineError
from core.settings import Settings
from operations.demo import traffic
from pipelines.source.practice import Scale
from pipelines.source.traffic import Arrival

WATCHED = "block"
"""The classifier whose drift the demo shows."""


class DemoFailed(MachineError):
    """A step of the demo did not have the outcome that the loop promises."""

    code = "demo_failed"


@dataclass
class Step:
    """A running step; it sets the outcome that is printed at its end."""

    outcome: str = "done"

    def require(self, holds: bool, wanted: str) -> None:
        """Raise `DemoFailed` with the outcome so far unless the condition holds."""
        if not holds:
            raise DemoFailed(
                wanted,
                came=self.outcome,
                do="look at the run in the Prefect UI and at var/logs",
            )


@dataclass
class DemoRun:
    """The finished steps, every answer of the service, and the figures for the summary."""

    settings: Settings
    scale: Scale
    say: Callable[[str], None]
    parts: list[dict[str, Any]] = field(default_factory=list)
    answered: list[traffic.Answered] = field(default_factory=list)
    figures: dict[str, Any] = field(default_factory=dict)

    @contextmanager
    def step(self, title: str) -> Iterator[Step]:
        """Announce a step, time it, and print its outcome."""
        self.say(f"{len(self.parts) + 1:>2}. {title} ...")
        started = time.perf_counter()
        step = Step()
        yield step
        seconds = round(time.perf_counter() - started, 1)
        self.parts.append({"part": title, "outcome": step.outcome, "seconds": seconds})
        self.say(f"    {step.outcome} ({seconds} s)")

    def play(self, arrivals: list[Arrival], classifier: str = WATCHED) -> list[traffic.Answered]:
        """Send arrivals to the service and remember its answers."""
        answered = traffic.play(self.settings.url_of(classifier), classifier, arrivals)
        self.answered += answered
        return answered

    def request_ids(self) -> list[str]:
        """The ids of all answers so far."""
        return [row.request_id for row in self.answered]
