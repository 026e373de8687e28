"""A step of the demo that watches for drift, and the window that the watch uses."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from core.contracts import Verdict
from flows.context import LoopContext
from monitoring.windows.cutting import effective_window
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
        step.outcome = describe_watch(verdict)
        step.require(verdict.kind in expected, f"a verdict of {' or '.join(sorted(expected))}")


def describe_watch(verdict: Verdict) -> str:
    """Return the verdict with the newest window of its kind, and the number of other windows."""
    windows = verdict.evidence["windows"][-len(verdict.reasons) :]
    of_kind = [
        reason
        for window, reason in zip(windows, verdict.reasons, strict=False)
        if window["verdict"] == verdict.kind
    ]
    others = len(verdict.evidence["windows"]) - 1
    more = f"; {others} other windows" if others else ""
    return f"{verdict.kind}: {(of_kind or verdict.reasons)[-1]}{more}"


def window_size(context: LoopContext) -> int:
    """Number of answers in a window of the watched classifier."""
    reference = Path(context.champions()[WATCHED].head_location) / "reference.parquet"
    return effective_window(reference, context.params.classifier(WATCHED).drift)
