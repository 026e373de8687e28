"""The event that a watch sends and a retraining answers to."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

from core.contracts import Verdict

DRIFT = "drift.detected"
LARGEST_EVIDENCE = (
    20_000  # characters of JSON; Prefect carries the payload into the parameters of the run
)


def resource_id(classifier: str) -> str:
    """Return the id under which Prefect knows a classifier."""
    return f"classifier.{classifier}"


def drift_payload(verdict: Verdict, *, now: datetime) -> dict[str, Any]:
    """What the retraining is told: the moment that was judged, the reasons, and the numbers while they are small."""
    numbers = {
        key: value for key, value in verdict.evidence.items() if key != "novel_phrases"
    }  # people's text stays in our database
    evidence = json.loads(json.dumps(numbers, default=str))
    small = evidence if len(json.dumps(evidence)) <= LARGEST_EVIDENCE else {}
    return {"now": now.isoformat(), "evidence": {"reasons": list(verdict.reasons), **small}}


def emit_drift(classifier: str, verdict: Verdict, *, now: datetime) -> None:
    """Send `drift.detected` for the classifier to the Prefect server."""
    from prefect.events import emit_event

    resource = {"prefect.resource.id": resource_id(classifier), "prefect.resource.name": classifier}
    emit_event(DRIFT, resource=resource, payload=drift_payload(verdict, now=now))
