"""What the inference log says was asked: phrases, in their order, and what answering them took."""

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
from core.tables import asked_by_clients, inference
from pipelines.model.text import clean_phrase
from pipelines.phrase_files import checked_phrases, read_phrases


@dataclass(frozen=True)
class LoggedRequests:
    """One value a phrase, in the order in which they were asked. Without a log `version`, `cached` and `latency_ms` say nothing."""

    phrase: list[str]
    cleaned: list[str]
    classifier: list[str]
    version: list[str]
    cached: np.ndarray
    latency_ms: np.ndarray


def read_requests(
    connection: Connection, *, rows: int, classifier: str | None = None
) -> LoggedRequests:
    """Return the newest `rows` answers that clients got; no shadows, and nothing that a load test asked."""
    columns = [
        inference.c[name]
        for name in ("phrase", "cleaned", "classifier", "version", "cached", "latency_ms")
    ]
    query = sa.select(*columns).where(inference.c.role != "shadow", asked_by_clients())
    if classifier:
        query = query.where(inference.c.classifier == classifier)
    newest = query.order_by(inference.c.occurred_at.desc(), inference.c.request_id.desc()).limit(
        rows
    )
    found = list(zip(*reversed(connection.execute(newest).all()), strict=True)) or [()] * len(
        columns
    )
    phrase, cleaned, named, version, cached, latency = found
    return LoggedRequests(
        list(phrase),
        list(cleaned),
        list(named),
        list(version),
        np.array(cached, bool),
        np.array(latency, float),
    )


def most_asked(asked: LoggedRequests, known: Sequence[str]) -> tuple[str, list[str]]:
    """Return the one of `known` that was asked most, and its phrases; phrases of a file are the first one's."""
    counts = Counter(name for name in asked.classifier if name in known)
    if not counts:
        return known[0], asked.phrase
    [(name, _)] = counts.most_common(1)
    return name, [
        phrase for phrase, of in zip(asked.phrase, asked.classifier, strict=True) if of == name
    ]


def stream_asked(
    settings: Settings, *, file: Path | None, column: str | None, classifier: str | None, rows: int
) -> LoggedRequests:
    """Phrases of a file, or of the log. Raises `InvalidPhrase` when there are none."""
    if file:
        asked = asked_of_file(file, column=column, classifier=classifier or "phrases")
    else:
        asked = asked_of_log(settings, rows=rows, classifier=classifier)
    if not asked.phrase:
        raise InvalidPhrase(
            "phrases to go by",
            came=f"none in {file or 'the inference log'}",
            do="ask the service some, or give --from FILE",
        )
    return asked


def asked_of_log(settings: Settings, *, rows: int, classifier: str | None) -> LoggedRequests:
    """As `read_requests`, from the database of the settings."""
    with open_database(settings) as urls:
        engine = connect(urls.perennial)
        try:
            with engine.connect() as connection:
                return read_requests(connection, rows=rows, classifier=classifier)
        finally:
            engine.dispose()


def asked_of_file(file: Path, *, column: str | None, classifier: str) -> LoggedRequests:
    """The phrases of a file, as if one version had answered them in this order. Raises `InvalidPhrase`."""
    phrase = list(checked_phrases(read_phrases(file, column)))
    rows = len(phrase)
    return LoggedRequests(
        phrase,
        [clean_phrase(one) for one in phrase],
        [classifier] * rows,
        [""] * rows,
        np.zeros(rows, bool),
        np.zeros(rows),
    )
