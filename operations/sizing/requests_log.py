"""Reads the requests that clients sent: phrases in their order, and how long each answer took."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from core.database import connect, open_database
from core.errors import InvalidPhrase
from core.settings import Settings
from core.tables.loop import asked_by_clients, inference
from pipelines.model.text import clean_phrase
from pipelines.phrase_files import checked_phrases, read_phrases

COLUMNS = ("phrase", "cleaned", "classifier", "version", "cached", "latency_ms")


@dataclass(frozen=True)
class LoggedRequests:
    """One value per request, in the order of the requests.

    For phrases from a file, `version`, `cached` and `latency_ms` are placeholders.
    """

    phrase: list[str]
    cleaned: list[str]
    classifier: list[str]
    version: list[str]
    cached: np.ndarray
    latency_ms: np.ndarray


@dataclass(frozen=True)
class RequestSource:
    """Where requests come from: a file, or the newest `rows` answers of the inference log."""

    file: Path | None
    column: str | None
    classifier: str | None
    rows: int


def load_requests(settings: Settings, source: RequestSource) -> LoggedRequests:
    """Read the requests of a source. Raises `InvalidPhrase` when there are none."""
    if source.file:
        classifier = source.classifier or "phrases"
        requests = requests_of_file(source.file, column=source.column, classifier=classifier)
    else:
        requests = requests_of_log(settings, rows=source.rows, classifier=source.classifier)

    if not requests.phrase:
        raise InvalidPhrase(
            "at least one phrase",
            came=f"none in {source.file or 'the inference log'}",
            do="send the service some requests, or give --from FILE",
        )
    return requests


def requests_of_log(settings: Settings, *, rows: int, classifier: str | None) -> LoggedRequests:
    """Like `read_requests`, from the database of the settings."""
    with open_database(settings) as urls:
        engine = connect(urls.perennial)
        try:
            with engine.connect() as connection:
                return read_requests(connection, rows=rows, classifier=classifier)
        finally:
            engine.dispose()


def read_requests(
    connection: Connection, *, rows: int, classifier: str | None = None
) -> LoggedRequests:
    """Return the newest `rows` answers that clients received, without shadows and load tests."""
    columns = [inference.c[name] for name in COLUMNS]
    query = sa.select(*columns).where(inference.c.role != "shadow", asked_by_clients())
    if classifier:
        query = query.where(inference.c.classifier == classifier)
    newest = query.order_by(inference.c.occurred_at.desc(), inference.c.request_id.desc())
    records = connection.execute(newest.limit(rows)).all()[::-1]

    return LoggedRequests(
        phrase=[record.phrase for record in records],
        cleaned=[record.cleaned for record in records],
        classifier=[record.classifier for record in records],
        version=[record.version for record in records],
        cached=np.array([record.cached for record in records], bool),
        latency_ms=np.array([record.latency_ms for record in records], float),
    )


def requests_of_file(file: Path, *, column: str | None, classifier: str) -> LoggedRequests:
    """Read the phrases of a file as requests to one version. Raises `InvalidPhrase`."""
    phrases = list(checked_phrases(read_phrases(file, column)))
    rows = len(phrases)
    return LoggedRequests(
        phrase=phrases,
        cleaned=[clean_phrase(phrase) for phrase in phrases],
        classifier=[classifier] * rows,
        version=[""] * rows,
        cached=np.zeros(rows, bool),
        latency_ms=np.zeros(rows),
    )


def busiest_classifier(requests: LoggedRequests, served: Sequence[str]) -> tuple[str, list[str]]:
    """Return the served classifier with the most requests, and its phrases.

    When none of the requests is for a served classifier, as with phrases from a file, the first
    served classifier gets all phrases.
    """
    counts = Counter(name for name in requests.classifier if name in served)
    if not counts:
        return served[0], requests.phrase
    [(busiest, _)] = counts.most_common(1)
    pairs = zip(requests.phrase, requests.classifier, strict=True)
    return busiest, [phrase for phrase, name in pairs if name == busiest]
