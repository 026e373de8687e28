"""Consoles of named reviewers, over one loop."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import get_args

import pandas as pd
from fastapi import FastAPI

from console.access.people import Operator, Person, Reviewer, Viewer
from console.app import create_app
from core.deployments import current_champions
from flows.context import LoopContext
from monitoring.review.neighbours import FACT_COLUMNS, store_facts
from monitoring.review.phrase_vectors import update_vectors, vectors_folder
from tests.support.traffic import embed_words

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def keep_neighbours(context: LoopContext, phrases: Sequence[str]) -> None:
    """Store the phrases as the hourly work of the queue does: all are hearts, asked 5 times."""
    with context.engine.connect() as connection:
        model = current_champions(connection)["organ"].model
    rows = [(phrase, "heart", True, 5) for phrase in phrases]
    store_facts(context.settings.home, model, pd.DataFrame(rows, columns=list(FACT_COLUMNS)))
    folder = vectors_folder(context.settings.home, model.embedder_id)
    update_vectors(folder, phrases, embed_words)


def console_of(context: LoopContext, name: str) -> FastAPI:
    """Return a console in front of which one of several reviewers sits."""
    app = create_app(context, clock=lambda: NOW)

    def person() -> Person:
        return Person(name, "reviewer", signed_in=True)

    for role in (Viewer, Reviewer, Operator):
        app.dependency_overrides[get_args(role)[1].dependency] = person
    return app
