"""What the run of a retraining shows of the drift that called for it."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

from core.contracts import Verdict

# Characters of JSON: Prefect copies the payload into the parameters of the run.
LARGEST_EVIDENCE = 20_000
PHRASES = frozenset({"novel_phrases", "moved_phrases", "label_requests"})


def drift_payload(verdict: Verdict, *, now: datetime) -> dict[str, Any]:
    """Return what the retraining receives: the moment that was judged, reasons and numbers.

    The numbers are left out when they exceed LARGEST_EVIDENCE.
    """
    # Phrases of clients stay in the project's own database.
    numbers = {key: value for key, value in verdict.evidence.items() if key not in PHRASES}
    evidence = json.loads(json.dumps(numbers, default=str))
    small = evidence if len(json.dumps(evidence)) <= LARGEST_EVIDENCE else {}
    return {"now": now.isoformat(), "evidence": {"reasons": list(verdict.reasons), **small}}
