"""A step of the demo that watches for drift, and the window that the watch uses."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from core.contracts import Verdict
from flows.context import LoopContext
from monitoring.windows import effective_window
from operations.demo import waiting
from operations.demo.run import WATCHED, DemoRun


def watch_step(
    run: DemoRun, context: LoopContext, now: datetime, *, expected: set[str], title: str
) -> None:
    """Run the watch once all answers are logged; raises `DemoFailed` on another verdict."""
    from flows.watch import watch

    with run.step(title) as step:
        waiting.until_logged(context.engine, run.request_ids())
        verdict: Verdict = watch([WATCHED], now=now)[WATCHED]
        step.outcome = f"{verdict.kind}: {'; '.join(verdict.reasons)}"
        step.require(verdict.kind in expected, f"a verdict of {' or '.join(sorted(expected))}")


def window_size(context: LoopContext) -> int:
    """Number of answers in a window of the watched classifier."""
    reference = Path(context.champions()[WATCHED].head_location) / "reference.parquet"
    return effective_window(reference, context.params.classifier(WATCHED).drift)
