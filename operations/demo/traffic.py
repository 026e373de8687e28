"""Sends arrivals to the running service as clients would, and writes their labels as feedback."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import httpx

from core.errors import ProcessFailed
from pipelines.gate.scores import weighted_f1
from pipelines.source.traffic import Arrival

BATCH = 256


@dataclass(frozen=True)
class Answered:
    """The answer of one classifier to one arrival."""

    arrival: Arrival
    request_id: str
    label: str
    version: str
    cached: bool


def play(service_url: str, classifier: str, arrivals: Sequence[Arrival]) -> list[Answered]:
    """Send all arrivals in order, in batches. Raises `ProcessFailed` on any status but 200."""
    answered: list[Answered] = []
    with httpx.Client(base_url=service_url, timeout=60, trust_env=False) as client:
        for batch in _batches(arrivals):
            response = client.post(f"/v1/{classifier}/predict_batch", json=_request(batch))
            if response.status_code != 200:
                raise ProcessFailed(
                    "status 200 from the service",
                    came=f"{response.status_code} {response.text[:200]}",
                    do="see the log of the service",
                )
            predictions = response.json()["predictions"]
            answered += [
                _answered(arrival, row) for arrival, row in zip(batch, predictions, strict=True)
            ]
    return answered


def score(answered: Sequence[Answered], column: str) -> float:
    """Weighted F1 of the answers, measured against the labels of the arrivals."""
    labels = [row.arrival.labels[column] for row in answered]
    return weighted_f1(labels, [row.label for row in answered])


def write_late_labels(
    path: Path, answered: Sequence[Answered], column: str, *, author: str
) -> Path:
    """Write the correct labels as a feedback file: request_id, label, author, received_at."""
    path.parent.mkdir(parents=True, exist_ok=True)
    received_at = max(row.arrival.occurred_at for row in answered).isoformat()
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["request_id", "label", "author", "received_at"])
        writer.writerows(
            [row.request_id, row.arrival.labels[column], author, received_at] for row in answered
        )
    return path


def _batches(arrivals: Iterable[Arrival]) -> Iterator[list[Arrival]]:
    rest = iter(arrivals)
    while batch := list(islice(rest, BATCH)):
        yield batch


def _request(batch: Sequence[Arrival]) -> dict[str, list[str]]:
    return {
        "phrases": [arrival.phrase for arrival in batch],
        "occurred_at": [arrival.occurred_at.isoformat() for arrival in batch],
        "regions": [arrival.region for arrival in batch],
    }


def _answered(arrival: Arrival, row: dict[str, Any]) -> Answered:
    return Answered(arrival, row["request_id"], row["label"], row["version"], row["cached"])
