"""Flows of one line each under the names of the real ones.

`python -m tests.support.trivial_flows` serves them for the classifiers of params.yaml.
"""

from __future__ import annotations

import time
from datetime import datetime
from typing import Any

from prefect import flow

from core.contracts import Verdict
from core.params.schema import load_params
from flows.deployments import list_deployments, serve_deployments
from flows.hooks import HOOKS, quiet_named_errors
from flows.pages.runs import shown_run
from tests.support.repositories import ROOT


@flow(name="retrain", **HOOKS)
@shown_run
def retrain(
    classifiers: list[str],
    reason: str = "manual",
    evidence: dict[str, Any] | None = None,
    now: datetime | None = None,
) -> dict[str, Verdict]:
    """Return verdicts of the kinds that the evidence names for the classifiers: "promote" else."""
    quiet_named_errors()
    if reason == "hang":
        time.sleep(600)
    kinds = evidence or {}
    return {name: Verdict(kinds.get(name, "promote"), (reason,)) for name in classifiers}


@flow(name="watch")
def watch(classifiers: list[str], act: bool = False, now: datetime | None = None) -> str:
    return f"{classifiers} {act} {now}"


@flow(name="remember")
def remember(classifiers: list[str] | None = None, now: datetime | None = None) -> str:
    return f"{classifiers} {now}"


@flow(name="performance")
def performance(classifiers: list[str] | None = None, now: datetime | None = None) -> str:
    return f"{classifiers} {now}"


if __name__ == "__main__":
    from tests.support import (
        trivial_flows,  # by its module path, which the runner imports; not as __main__
    )

    params = load_params(ROOT / "params.yaml")
    serve_deployments(
        list_deployments(
            params,
            retrain=trivial_flows.retrain,
            watch=trivial_flows.watch,
            remember=trivial_flows.remember,
            performance=trivial_flows.performance,
            schedules=False,
        )
    )
