"""What the runs page of the Prefect UI shows of a run: its name, its tags, and its final state."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from typing import ParamSpec, TypeVar, cast

import httpx

from core.contracts import Verdict
from core.logs import first_line, get_logger
from machine.environment import TAG

P = ParamSpec("P")
Verdicts = TypeVar("Verdicts", bound=Mapping[str, Verdict])

STATES = {
    "failed": "Partly failed",
    "reject": "Rejected",
    "hold": "Hold",
    "undecided": "Undecided",
    "keep": "Kept",
    "promote": "Promoted",
    "wait": "Waiting",
    "drift": "Drift",
    "needs_labels": "Labels wanted",
    "broken_client": "Broken client",
    "warning": "Warning",
    "steady": "Steady",
    "insufficient": "Insufficient",
    "renewed": "Renewed",
    "waiting": "Waiting",
    "current": "Current",
    "reported": "Reported",
}
"""Kind of verdict -> name of the final state. A run of several classifiers takes the first."""
PARTLY_FAILED = STATES["failed"]
TYPES = {PARTLY_FAILED: "FAILED", STATES["wait"]: "CANCELLED"}
"""Name of the final state -> its type in Prefect, which the UI shows red or grey.

Every other state is COMPLETED and green: the flow did all of its work.
"""
NAMED = 3
LONGEST_MESSAGE = 1_000


class NotCompleted(Exception):
    """Carries the verdicts of a run that ends in a state of TYPES; Prefect raises it."""

    def __init__(self, verdicts: Mapping[str, Verdict], message: str) -> None:
        super().__init__(message)
        self.verdicts = verdicts


def call_flow(flow: Callable[P, Verdicts], *args: P.args, **kwargs: P.kwargs) -> Verdicts:
    """Call a flow made of a `shown_run`; return its verdicts, whatever the final state is."""
    try:
        return flow(*args, **kwargs)
    except NotCompleted as ended:
        return cast(Verdicts, ended.verdicts)


def shown_run(function: Callable[P, Verdicts]) -> Callable[P, Verdicts]:
    """Name and tag the run of a flow, and end it in a state that is named after its verdict.

    The flow has the parameter `classifiers` and may have `reason`. Prefect unwraps the state for
    the caller of the flow: it returns the verdicts, or raises `NotCompleted` with them.
    """

    signature = inspect.signature(function, eval_str=True)

    @wraps(function)
    def shown(*args: P.args, **kwargs: P.kwargs) -> Verdicts:
        call = signature.bind(*args, **kwargs)
        classifiers = call.arguments.get("classifiers") or []
        reason = call.arguments.get("reason", "")
        _describe_run(run_name(classifiers, reason), [*classifiers, reason])

        verdicts = function(*args, **kwargs)
        kinds = [verdict.kind for verdict in verdicts.values()]
        name = run_name(list(verdicts), reason, verdicts)
        _describe_run(name, [*classifiers, reason, *kinds])
        return cast(Verdicts, _final_state(verdicts))

    # Prefect would look for the names of the annotations in this file.
    shown.__signature__ = signature  # type: ignore[attr-defined]
    return shown


def run_name(
    classifiers: Sequence[str], reason: str, verdicts: Mapping[str, Verdict] | None = None
) -> str:
    """Return such as "block: drift, version 2 promoted"; the verdicts are None until it ends."""
    who = ", ".join(classifiers[:NAMED]) or "all"
    more = len(classifiers) - NAMED
    who += f" and {more} more" if more > 0 else ""
    results = dict.fromkeys(_result(verdict) for verdict in (verdicts or {}).values())
    what = ", ".join(filter(None, (reason, *results)))
    return f"{who}: {what}" if what else who


def _result(verdict: Verdict) -> str:
    name = STATES.get(verdict.kind, verdict.kind).lower()
    trained = verdict.kind in ("promote", "keep", "reject", "hold", "undecided")
    version = verdict.evidence.get("version")
    return f"version {version} {name}" if trained and version else name


def _final_state(verdicts: Mapping[str, Verdict]) -> object:
    """Return a final state; its name is that of the verdict that needs most attention."""
    from prefect.client.schemas.objects import State, StateType

    kinds = {verdict.kind for verdict in verdicts.values()}
    name = next((STATES[kind] for kind in STATES if kind in kinds), "Completed")
    sentences = (f"{who}: {'; '.join(verdict.reasons)}" for who, verdict in verdicts.items())
    message = "\n".join(sentences)[:LONGEST_MESSAGE]
    data = NotCompleted(verdicts, message) if name in TYPES else verdicts
    kind = StateType(TYPES.get(name, "COMPLETED"))
    return State(type=kind, name=name, message=message, data=data)


def _describe_run(name: str, tags: Sequence[str]) -> None:
    """Name and tag the current run; a server that refuses it costs no run."""
    from prefect.client.orchestration import get_client
    from prefect.context import FlowRunContext

    context = FlowRunContext.get()
    run = context.flow_run if context else None
    if run is None:
        return
    run.tags = list(dict.fromkeys([*run.tags, TAG, *filter(None, tags)]))
    try:
        with get_client(sync_client=True) as client:
            client.update_flow_run(run.id, name=name, tags=run.tags)
    except (httpx.HTTPError, RuntimeError) as error:
        get_logger().warning("run name", name=name, error=first_line(error))
