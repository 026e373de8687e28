"""Answers of the simulated service as rows of `inference`."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from sqlalchemy.engine import Engine

from core.tables.loop import inference
from operations.simulation.answering import Answer
from operations.simulation.arrivals import Arrivals
from operations.simulation.source import KEY
from operations.simulation.world import EPOCH


def write_log(
    engine: Engine,
    arrivals: Arrivals,
    *,
    ids: Sequence[str],
    answers: Sequence[Answer],
    overruled: Sequence[str | None],
    day: int,
    version: str,
    embedder_id: str,
) -> None:
    """Insert one row for each answer of the champion; `overruled` is from `Answering`."""
    common = {
        "version": version,
        "classifier": KEY,
        "role": "champion",
        "alternatives": [],
        "embedder_id": embedder_id,
        "cached": False,
        "latency_ms": 1.0,
        "flags": [],
    }
    rows = [
        {
            **common,
            "occurred_at": EPOCH + timedelta(days=day, seconds=float(arrivals.second[place])),
            "request_id": ids[place],
            "phrase": arrivals.phrase[place],
            "cleaned": arrivals.cleaned[place],
            "label": label,
            "probability": probability,
            "head_label": overruled[place],
            "region": arrivals.region[place],
        }
        for place, (label, probability) in enumerate(answers)
    ]
    if rows:
        with engine.begin() as connection:
            connection.execute(inference.insert(), rows)
