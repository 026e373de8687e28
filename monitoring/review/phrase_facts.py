"""What is known of the phrases among which neighbours are looked for."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import datetime

import numpy as np
import pandas as pd
from sqlalchemy.engine import Connection

from core.arrivals import newest_arrival
from monitoring.review.asking import asked_phrases
from monitoring.review.draws import WEEK
from monitoring.review.neighbours import FACT_COLUMNS
from monitoring.review.phrase_vectors import MOST
from monitoring.review.recent_log import read_recent
from pipelines.model.memory import Memory


def phrase_facts(
    connection: Connection,
    classifier: str,
    *,
    trained: Iterable[str],
    memory: Memory | None,
    now: datetime,
) -> pd.DataFrame:
    """Return FACT_COLUMNS of the phrases of the recent log and of the training snapshot.

    `trained` are the snapshot's cleaned phrases; the memory tells their labels, and those that
    people gave.
    """
    last = newest_arrival(connection.engine)
    recent = read_recent(connection, classifier, since=now - WEEK, last=last)
    empty = pd.DataFrame(columns=["cleaned", "label", "asks"])
    phrases = empty if recent is None else asked_phrases(recent)
    return describe_phrases(phrases, trained, memory)


def describe_phrases(
    phrases: pd.DataFrame, trained: Iterable[str], memory: Memory | None
) -> pd.DataFrame:
    """Return FACT_COLUMNS, most asked first: pure. A phrase without any label is left out."""
    answers = dict(zip(phrases["cleaned"], phrases["label"], strict=True))
    asks = dict(zip(phrases["cleaned"], phrases["asks"], strict=True))
    rows = []
    for phrase in dict.fromkeys([*phrases["cleaned"], *trained]):
        known = None if memory is None else known_label(memory, phrase)
        label = known or answers.get(phrase)
        if label is not None:
            rows.append((phrase, label, known is not None, int(np.ceil(asks.get(phrase, 0.0)))))
    facts = pd.DataFrame.from_records(rows, columns=list(FACT_COLUMNS))
    return facts.sort_values(["asked", "cleaned"], ascending=[False, True], ignore_index=True)


def known_label(memory: Memory, cleaned: str) -> str | None:
    """Return the label that most of the evidence on a phrase speaks for; None for a new phrase."""
    place = memory.place(cleaned)
    if place is None:
        return None
    _, weights = memory.evidence(place)
    return max(weights, key=lambda label: (weights[label], label), default=None)


def wanted_phrases(facts: Iterable[pd.DataFrame], queued: Collection[str]) -> list[str]:
    """Return at most MOST phrases of several classifiers: the queued ones, then the most asked."""
    merged = pd.concat([part[["cleaned", "asked"]] for part in facts])
    ordered = merged.sort_values(["asked", "cleaned"], ascending=[False, True])
    return list(dict.fromkeys([*sorted(queued), *ordered["cleaned"]]))[:MOST]
