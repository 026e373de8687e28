"""The demo: the whole loop, from an empty database to a version that learned from drift."""

from __future__ import annotations

from typing import Any

from core.settings import Settings
from flows.context import LoopContext, open_context
from machine.environment import apply_environment, telemetry_off
from machine.processes import down
from operations.demo import drifting, steady
from operations.demo.home import clear_home
from operations.demo.run import DemoRun, log_line
from operations.demo.summary import write_summary
from pipelines.git_repository import require_committed
from pipelines.source.practice import Scale


def prepare_demo(settings: Settings) -> None:
    """Clear the demo's home; raises for uncommitted changes and for a home that holds your work."""
    require_committed(settings.repository)
    clear_home(settings)


def run_demo(settings: Settings, *, scale: Scale = "default") -> dict[str, Any]:
    """Run the demo in a prepared home and return its summary: build/demo/summary.json.

    The services are left running, unless the demo is interrupted.
    """
    settings = settings.model_copy(update={"schedules": False})
    apply_environment(telemetry_off())
    run = DemoRun(settings, scale)
    try:
        with open_context(settings) as context:
            _play(run, context)
    except KeyboardInterrupt:
        down(settings, report=log_line)
        raise
    return write_summary(settings, scale=scale, parts=run.parts, figures=run.figures)


def _play(run: DemoRun, context: LoopContext) -> None:
    steady.build_source(run, context)
    steady.train_first_versions(run, context)
    end = steady.play_steady_traffic(run, context)
    traffic = drifting.play_drifted_traffic(run, context, start=end)
    drifting.import_late_labels(run, context, traffic)
    drifting.detect_drift(run, context, traffic)
    drifting.retrain_and_serve(run, context, traffic)
    end = drifting.play_again(run, traffic)
    drifting.fill_review_queue(run, context, end)
