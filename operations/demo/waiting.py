"""Waits with a deadline: for logged rows, for the verdict of a retraining, for a served version."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, TypeVar

import httpx
import sqlalchemy as sa
from sqlalchemy.engine import Engine

from core.contracts import Verdict
from core.errors import ProcessFailed, StageFailed
from core.tables.loop import decision, inference
from flows.context import LoopContext

T = TypeVar("T")
LOGGED_SECONDS = 60.0
RETRAINED_SECONDS = 420.0
SERVED_SECONDS = 30.0


def until(poll: Callable[[], T | None], *, what: str, seconds: float, pause: float = 0.2) -> T:
    """Call `poll` until it returns a value; raise `ProcessFailed` naming `what` at the deadline."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        value = poll()
        if value is not None:
            return value
        time.sleep(pause)
    raise ProcessFailed(
        what,
        came=f"nothing within {seconds:.0f} s",
        do="see `perennial status` and the logs under var/logs",
    )


def until_logged(engine: Engine, request_ids: Sequence[str]) -> None:
    """Wait until all request ids are in the table `inference`."""
    expected = len(set(request_ids))
    count = sa.select(sa.func.count(sa.distinct(inference.c.request_id))).where(
        inference.c.request_id.in_(list(request_ids))
    )

    def all_there() -> bool | None:
        with engine.connect() as connection:
            return (connection.scalar(count) == expected) or None

    until(all_there, what=f"{expected} answers in the inference log", seconds=LOGGED_SECONDS)


def until_retrained(context: LoopContext, classifier: str, *, since: datetime) -> Verdict:
    """Wait for the gate's verdict decided at or after `since`, and for the end of its flow run.

    Raises `StageFailed` when the flow run fails.
    """
    newest = (
        sa.select(decision)
        .where(
            decision.c.classifier == classifier,
            decision.c.subject == "gate",
            decision.c.decided_at >= since,
        )
        .order_by(decision.c.id.desc())
        .limit(1)
    )

    def verdict() -> Verdict | None:
        ended = _newest_run_ended(context.settings.prefect_url)
        with context.engine.connect() as connection:
            row = connection.execute(newest).one_or_none()
        return Verdict(row.kind, tuple(row.reasons), row.evidence) if row and ended else None

    what = f"a verdict on the retraining of {classifier}"
    return until(verdict, what=what, seconds=RETRAINED_SECONDS, pause=1.0)


def until_served(service_url: str, classifier: str, context: LoopContext) -> float:
    """Wait until the service answers with the champion; return the seconds that it took."""
    started = time.monotonic()
    version = context.champions()[classifier].version

    def served() -> bool | None:
        response = httpx.get(f"{service_url}/v1/classifiers", timeout=5, trust_env=False)
        versions = {row["classifier"]: row["version"] for row in response.json()["classifiers"]}
        return (versions.get(classifier) == version) or None

    until(served, what=f"version {version} of {classifier} served", seconds=SERVED_SECONDS)
    return time.monotonic() - started


def _newest_run_ended(prefect_url: str) -> bool:
    """Whether the newest retraining on the Prefect server ended; one that waits is CANCELLED.

    Raises `StageFailed` when it failed.
    """
    newest: dict[str, Any] = {
        "flows": {"name": {"any_": ["retrain"]}},
        "sort": "EXPECTED_START_TIME_DESC",
        "limit": 1,
    }
    runs = httpx.post(
        f"{prefect_url}/api/flow_runs/filter", json=newest, timeout=10, trust_env=False
    ).json()
    if runs and runs[0]["state_type"] in {"FAILED", "CRASHED"}:
        raise StageFailed(
            "a completed retraining",
            came=str(runs[0]["state"]["message"])[:500],
            do="look at the run in the Prefect UI",
        )
    return bool(runs) and runs[0]["state_type"] in {"COMPLETED", "CANCELLED"}
