"""Rows of the inference log."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import orjson

from core.contracts import Inference
from tests.support.heads import EMBEDDER_ID


def row(number: int, **changes: Any) -> bytes:
    return orjson.dumps(inference(number, **changes))


def inference(number: int, **changes: Any) -> Inference:
    row = {
        "occurred_at": datetime(2026, 1, 1, tzinfo=UTC),
        "request_id": f"request-{number}",
        "version": "1",
        "classifier": "organ",
        "role": "champion",
        "phrase": f"Phrase {number}",
        "cleaned": f"phrase {number}",
        "label": "heart",
        "probability": 0.75,
        "alternatives": (("lung", 0.25),),
        "embedder_id": EMBEDDER_ID,
        "cached": False,
        "latency_ms": 1.0,
    }
    return Inference(**{**row, **changes})
