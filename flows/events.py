"""The event that a watch sends and that starts a retraining."""

from __future__ import annotations

from datetime import datetime

import httpx

from core.contracts import Verdict
from core.errors import FlowServerUnreachable
from core.logs import first_line
from monitoring.drift.payloads import drift_payload

DRIFT = "drift.detected"


def resource_id(classifier: str) -> str:
    """Return the id under which Prefect knows a classifier."""
    return f"classifier.{classifier}"


def emit_drift(classifier: str, verdict: Verdict, *, now: datetime) -> None:
    """Send `drift.detected` for the classifier to the Prefect server, and wait until it has it.

    Raises `FlowServerUnreachable`: Prefect's own `emit_event` would lose the event in silence.
    """
    from prefect.client.orchestration import get_client
    from prefect.events.schemas.events import Event

    resource = {"prefect.resource.id": resource_id(classifier), "prefect.resource.name": classifier}
    event = Event(event=DRIFT, resource=resource, payload=drift_payload(verdict, now=now))
    try:
        with get_client(sync_client=True) as client:
            client.request(
                "POST", "/events", json=[event.model_dump(mode="json")]
            ).raise_for_status()
    except (httpx.HTTPError, RuntimeError) as error:
        raise FlowServerUnreachable(
            f"the Prefect server to take the drift of {classifier}",
            came=first_line(error) or type(error).__name__,
            do="start it; the next watch calls again",
        ) from None
