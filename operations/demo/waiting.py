"""Wait for a condition with a deadline: rows logged, a retraining's verdict, a version served."""

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
from core.tables import decision, inference
from flows.context import LoopContext

T = TypeVar("T")


def until(found: Callable[[], T | None], *, what: str, seconds: float, pause: float = 0.2) -> T:
    """Return the first value that `found` returns; raise `ProcessFailed` naming `what` after the deadline."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        value = found()
        if value is not None:
            return value
        time.sleep(pause)
    raise ProcessFailed(
        what,
        came=f"nothing within {seconds:.0f} s",
        do="see `perennial status` and the logs under var/logs",
    )


def until_logged(engine: Engine, request_ids: Sequence[str], *, seconds: float = 60) -> None:
    """Wait until every one of the request ids is in `inference`."""
    wanted = len(set(request_ids))
    count = sa.select(sa.func.count(sa.distinct(inference.c.request_id))).where(
        inference.c.request_id.in_(list(request_ids))
    )

    def all_there() -> bool | None:
        with engine.connect() as connection:
            return (connection.scalar(count) == wanted) or None

    until(all_there, what=f"{wanted} answers in the inference log", seconds=seconds)


def until_retrained(
    loop: LoopContext, classifier: str, *, since: datetime, seconds: float = 420
) -> Verdict:
    """Wait for the gate's verdict of a retraining decided at or after `since`; and until its flow run ends; a failed one raises."""
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
        ended = _newest_run_ended(loop.settings.prefect_url)
        with loop.engine.connect() as connection:
            row = connection.execute(newest).one_or_none()
        return Verdict(row.kind, tuple(row.reasons), row.evidence) if row and ended else None

    return until(
        verdict, what=f"a verdict on the retraining of {classifier}", seconds=seconds, pause=1.0
    )


def until_served(
    service_url: str, classifier: str, loop: LoopContext, *, seconds: float = 30
) -> float:
    """Wait until the service answers with the champion's version; return the seconds that took."""
    started, wanted = time.monotonic(), loop.champions()[classifier].version

    def served() -> bool | None:
        listed = httpx.get(f"{service_url}/v1/classifiers", timeout=5, trust_env=False).json()[
            "classifiers"
        ]
        return (
            any(row["classifier"] == classifier and row["version"] == wanted for row in listed)
            or None
        )

    until(served, what=f"version {wanted} of {classifier} served", seconds=seconds)
    return time.monotonic() - started


def _newest_run_ended(prefect_url: str) -> bool:
    """Ask the Prefect server for the newest retraining; when it failed, raise what it said."""
    wanted: dict[str, Any] = {
        "flows": {"name": {"any_": ["retrain"]}},
        "sort": "EXPECTED_START_TIME_DESC",
        "limit": 1,
    }
    runs = httpx.post(
        f"{prefect_url}/api/flow_runs/filter", json=wanted, timeout=10, trust_env=False
    ).json()
    if runs and runs[0]["state_type"] in {"FAILED", "CRASHED"}:
        raise StageFailed(
            "the retraining to end",
            came=str(runs[0]["state"]["message"])[:500],
            do="look at the run in the Prefect UI",
        )
    return bool(runs) and runs[0]["state_type"] == "COMPLETED"
