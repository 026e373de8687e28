"""The hourly work of the review queue, on a place with a champion and a memory."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pandas as pd
import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Engine

from core.contracts import Deployment, ModelVersion, Verdict
from core.database import DatabaseUrls
from core.decisions import record_decision
from core.deployments import append_deployment, current_champions
from core.errors import EmbedderUnusable
from core.params.schema import load_params
from core.settings import REPOSITORY
from core.tables.review import review_item
from flows.context import LoopContext
from flows.memory import renew_memory
from flows.review import (
    Embedders,
    keep_phrases,
    refill_review,
    refill_when_empty,
    waiting_candidate,
)
from monitoring.review.neighbours import phrase_neighbours
from pipelines.memory.store import store_source_labels
from pipelines.model.digests import write_digest
from tests.integration.test_remember import source_labels
from tests.support.places import own_place
from tests.support.traffic import embed_words, log, make_answering_head, promote, store_model

NOW = datetime(2026, 2, 1, tzinfo=UTC)


@pytest.fixture
def context(engine: Engine, database: DatabaseUrls, tmp_path: Path) -> LoopContext:
    """Version 1 of `topic` answered 40 phrases; the source has labelled "worn cog"."""
    place = own_place(tmp_path)
    phrases = [f"label{number % 20:02d}w{number} word" for number in range(39)]
    rows = pd.DataFrame({
        "occurred_at": [NOW - timedelta(hours=number + 1) for number in range(40)],
        "region": None, "cleaned": [*phrases, "worn wheel"], "label": "label00", "confidence": 0.6,
    })  # fmt: skip
    with engine.begin() as connection:
        log(connection, rows, classifier="topic", version="1")
        model = store_model(
            place.models, classifier="topic", version="1", reference=None,
            head=make_answering_head(),
        )  # fmt: skip
        promote(connection, model, since=NOW - timedelta(days=9))
    context = LoopContext(place, database, engine, load_params(REPOSITORY / "params.yaml"))
    snapshot = store_source_labels(place.models, "topic", source_labels("label03", "label03"))
    renew_memory(context, "topic", snapshot=snapshot, now=NOW - timedelta(hours=1), why="first")
    return context


def opened(context: LoopContext) -> Embedders:
    return Embedders(context, {"words-1": embed_words})


def champion(context: LoopContext) -> ModelVersion:
    with context.engine.connect() as connection:
        return current_champions(connection)["topic"].model


def second_version(context: LoopContext) -> ModelVersion:
    model = store_model(
        context.settings.models,
        classifier="topic",
        version="2",
        reference=None,
        head=make_answering_head(),
    )
    write_digest(Path(model.head_location), model.head_digest)
    return model


def test_an_hour_fills_the_queue_with_every_kind_of_item(context: LoopContext) -> None:
    done = refill_review(context, "topic", now=NOW, embedders=opened(context))
    assert done.added == 40
    assert {"random", "low_confidence", "novel"} <= set(done.by_strategy)


def test_without_an_embedder_at_hand_the_queue_is_filled_all_the_same(
    context: LoopContext,
) -> None:
    done = refill_review(context, "topic", now=NOW)
    assert done.added == 40
    assert "novel" not in done.by_strategy


def test_an_empty_queue_is_refilled_once_in_a_minute(context: LoopContext) -> None:
    assert refill_when_empty(context, "topic", now=NOW).added == 40
    with context.engine.begin() as connection:
        connection.execute(review_item.update().values(state="withdrawn"))
    soon = NOW + timedelta(seconds=30)
    assert refill_when_empty(context, "topic", now=soon).added == 0
    assert refill_when_empty(context, "topic", now=NOW + timedelta(minutes=2)).added > 0


def test_an_embedder_that_is_gone_is_named(context: LoopContext) -> None:
    with pytest.raises(EmbedderUnusable, match="the embedder words-1"):
        refill_review(context, "topic", now=NOW, embedders=Embedders(context))


def test_phrases_of_log_and_snapshot_become_neighbours(context: LoopContext) -> None:
    refill_review(context, "topic", now=NOW)
    assert keep_phrases(context, now=NOW, embedders=opened(context)) == 41
    assert keep_phrases(context, now=NOW, embedders=Embedders(context)) == 0
    [near, *_] = phrase_neighbours(context.settings.home, champion(context), "worn wheel")
    assert (near.cleaned, near.label, near.labelled, near.asks) == ("worn cog", "label03", True, 0)
    back = phrase_neighbours(context.settings.home, champion(context), "worn cog")[0]
    assert (back.cleaned, back.label, back.labelled, back.asks) == (
        "worn wheel", "label00", False, 1,
    )  # fmt: skip


def test_the_candidate_is_the_canary_or_what_the_gate_left_waiting(
    context: LoopContext,
) -> None:
    own = champion(context)
    model = second_version(context)

    def candidate(canary: Deployment | None = None) -> str | None:
        with context.engine.connect() as connection:
            found = waiting_candidate(connection, own, canary, context)
        return found.version if found else None

    def decide(kind: str, version: str) -> None:
        with context.engine.begin() as connection:
            record_decision(
                connection, Verdict(kind, ("x",), {"version": version}),
                classifier="topic", subject="gate", decided_at=NOW,
            )  # fmt: skip

    assert candidate() is None
    decide("hold", "2")
    assert candidate() == "2"
    decide("undecided", "9")  # no longer in the store
    assert candidate() is None
    decide("reject", "2")
    assert candidate() is None
    canary = Deployment(model, "canary", 0.1, NOW, "test")
    assert candidate(canary) == "2"
    other = ModelVersion("topic", "3", "", "", "another-embedder")
    assert candidate(Deployment(other, "canary", 0.1, NOW, "test")) is None


def test_a_candidate_that_waits_is_compared_with_the_champion(context: LoopContext) -> None:
    """The log says label00; the candidate's head says the label whose words the phrase has."""
    second_version(context)
    with context.engine.begin() as connection:
        record_decision(
            connection, Verdict("hold", ("x",), {"version": "2"}),
            classifier="topic", subject="gate", decided_at=NOW,
        )  # fmt: skip
        model = champion(context)
        append_deployment(connection, Deployment(model, "champion", 1.0, NOW, "again"))
    done = refill_review(context, "topic", now=NOW, embedders=opened(context))
    assert done.by_strategy["disagreement"] >= 4
    with context.engine.connect() as connection:
        rows = connection.scalars(
            sa.select(review_item.c.cleaned).where(review_item.c.strategy == "disagreement")
        )
        assert all(not phrase.startswith("label00") for phrase in rows)
