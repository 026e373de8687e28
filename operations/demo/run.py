"""One run of the demo: logs and times its steps, and collects its answers and figures."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from core.errors import MachineError
from core.logs import get_logger
from core.settings import Settings
from operations.demo import traffic
from pipelines.source.practice import Scale
from pipelines.source.traffic import Arrival

WATCHED = "block"
"""The classifier whose drift the demo shows."""


class DemoFailed(MachineError):
    """A step of the demo did not have the outcome that the loop promises."""

    code = "demo_failed"


def log_line(line: str) -> None:
    """Log what a program of the machine reports."""
    get_logger().info("machine", line=line)


@dataclass
class DemoStep:
    """A running step; it sets the outcome that is shown at its end."""

    outcome: str = ""

    def require(self, holds: bool, wanted: str) -> None:
        """Raise `DemoFailed` with the outcome so far unless the condition holds."""
        if not holds:
            raise DemoFailed(
                wanted,
                came=self.outcome or "nothing",
                do="look at the run in the Prefect UI and at var/logs",
            )


@dataclass
class DemoRun:
    """The finished steps, every answer of the service, and the figures for the summary."""

    settings: Settings
    scale: Scale
    parts: list[dict[str, Any]] = field(default_factory=list)
    answered: list[traffic.Answered] = field(default_factory=list)
    figures: dict[str, Any] = field(default_factory=dict)

    @contextmanager
    def step(self, title: str) -> Iterator[DemoStep]:
        """Log a step with its seconds and its outcome."""
        log = get_logger()
        log.info(title, state="start")
        started = time.perf_counter()
        step = DemoStep()
        state = "failed"
        try:
            yield step
            state = "end"
            step.outcome = step.outcome or "done"
        finally:
            seconds = round(time.perf_counter() - started, 1)
            log.info(title, state=state, seconds=seconds, outcome=step.outcome)
        self.parts.append({"part": title, "outcome": step.outcome, "seconds": seconds})

    def play(self, arrivals: list[Arrival], classifier: str = WATCHED) -> list[traffic.Answered]:
        """Send arrivals to the service and remember its answers."""
        answered = traffic.play(self.settings.url_of(classifier), classifier, arrivals)
        self.answered += answered
        return answered

    def request_ids(self) -> list[str]:
        """The ids of all answers so far."""
        return [row.request_id for row in self.answered]
