"""What people taught is no drift: phrases that the memory turned since the champion's fit."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from shutil import rmtree

import pandas as pd
import pytest
from sqlalchemy.engine import Engine

from core.contracts import Verdict
from core.decisions import record_decision
from core.memory_revisions import MemoryRevision, append_revision
from monitoring.drift.budget import Budget
from monitoring.drift.watching import watch_classifier
from monitoring.windows.scoring import WindowScorer
from monitoring.windows.turned import TurnedPhrases
from pipelines.memory.build import build_memory
from pipelines.memory.store import revision_folder, store_memory
from pipelines.model.memory import Memory
from tests.support.traffic import (
    LABELS,
    START,
    WATCHED_BLOCK,
    WINDOW,
    embed_words,
    log,
    make_answering_head,
    promote,
    store_model,
    traffic,
)

FIT = START + timedelta(days=60)
TAUGHT = FIT + timedelta(days=1)
NOW = datetime(2027, 6, 1, tzinfo=UTC)
OLD, NEW = LABELS[2], LABELS[5]
ANSWERING = make_answering_head()


def memory_of(rows: pd.DataFrame, *, taught: bool, labels: int = 5) -> Memory:
    """So many labels of each phrase; where people taught, NEW in place of OLD."""
    phrases = rows.drop_duplicates("cleaned")
    label = phrases["label"].replace(OLD, NEW) if taught else phrases["label"]
    named = phrases.assign(label=label, received_at=START, author="", kind="")
    repeated = pd.concat([named] * labels)
    return build_memory(repeated, classifier="topic", revision=1 + taught, as_of=FIT)


def answered(rows: pd.DataFrame, memory: Memory) -> pd.DataFrame:
    """The rows with what head and memory say of the phrases whose label is OLD."""
    scorer = WindowScorer(ANSWERING, embed_words, phrases=[], seed=1, memory=memory)
    old = rows["label"] == OLD
    return scorer.completed(rows.assign(label=rows["label"].mask(old, None)))


@pytest.fixture
def watched(engine: Engine, tmp_path: Path) -> tuple[pd.DataFrame, Memory]:
    """The live rows as they are answered after people taught NEW for every phrase of OLD."""
    every = traffic(days=90, a_day=60, seed=1)
    reference, live = every[every["occurred_at"] < FIT], every[every["occurred_at"] >= FIT]
    before = memory_of(every, taught=False)
    model = store_model(
        tmp_path / "models",
        classifier="topic",
        version="1",
        reference=answered(reference, before),
        head=ANSWERING,
    )
    with engine.begin() as connection:
        promote(connection, model)
        record_decision(
            connection,
            Verdict("promote", ("first",), {"version": "1"}),
            classifier="topic",
            subject="gate",
            decided_at=FIT,
        )
    remember(engine, tmp_path, before, at=FIT)
    taught = memory_of(every, taught=True)
    rows = answered(live, taught)
    with engine.begin() as connection:
        log(connection, rows.head(3 * WINDOW), classifier="topic", version="1")
    return rows, taught


def remember(engine: Engine, home: Path, memory: Memory, *, at: datetime) -> None:
    models = home / "models"
    revision = MemoryRevision(
        classifier="topic",
        revision=memory.revision,
        made_at=at,
        as_of=at,
        digest=store_memory(models, memory),
        location=str(revision_folder(models, "topic", memory.revision)),
        snapshot="none",
        first_feedback=None,
        last_feedback=None,
        phrases=len(memory.hashes),
        labels=len(memory.codes),
        enabled=memory.enabled,
        why="test",
    )
    with engine.begin() as connection:
        append_revision(connection, revision)


def watch(engine: Engine, home: Path) -> Verdict:
    return watch_classifier(
        engine,
        classifier="topic",
        block=WATCHED_BLOCK,
        models=home / "models",
        reports=home / "reports",
        embed=embed_words,
        now=NOW,
        seed=7,
        false_alarms=Budget(2.0),
        write_pages=False,
    )


def test_answers_that_nobody_taught_are_a_drift(
    engine: Engine, tmp_path: Path, watched: tuple[pd.DataFrame, Memory]
) -> None:
    assert len(watched[0]) > 3 * WINDOW
    verdict = watch(engine, tmp_path)
    assert verdict.kind == "drift"
    assert "label_shares" in verdict.evidence["alarms"]


@pytest.mark.parametrize("labels", [5, 20])
def test_answers_that_people_taught_are_none(
    engine: Engine, tmp_path: Path, watched: tuple[pd.DataFrame, Memory], labels: int
) -> None:
    """The newest memory may be surer than the one that answered."""
    every = traffic(days=90, a_day=60, seed=1)
    remember(engine, tmp_path, memory_of(every, taught=True, labels=labels), at=TAUGHT)
    assert watch(engine, tmp_path).kind == "steady"


def test_a_revision_whose_files_are_gone_stops_no_watch(
    engine: Engine, tmp_path: Path, watched: tuple[pd.DataFrame, Memory]
) -> None:
    remember(engine, tmp_path, watched[1], at=TAUGHT)
    rmtree(revision_folder(tmp_path / "models", "topic", 1))
    assert watch(engine, tmp_path).kind == "drift"


def test_only_phrases_that_both_memories_know_have_turned() -> None:
    rows = pd.DataFrame({"cleaned": ["a", "b", "c"], "label": [OLD, "other", OLD]})
    before = memory_of(rows.head(2), taught=False)
    now = memory_of(rows, taught=True)
    turned = TurnedPhrases.between(before, now)
    asked = rows.assign(confidence=0.9, weight=1.0)
    forgotten = turned.forget_answers(asked)
    assert forgotten["label"].isna().tolist() == [True, False, False]
    assert forgotten["confidence"].isna().tolist() == [True, False, False]
    for_new_ones = asked.assign(weight=3.3)
    assert turned.forget_answers(for_new_ones).equals(for_new_ones)
    assert TurnedPhrases().forget_answers(asked).equals(asked)
    assert not TurnedPhrases.between(None, now).hashes


@pytest.mark.parametrize(("labels", "turned"), [(2, True), (40, False)])
def test_a_phrase_that_is_surer_now_has_turned(labels: int, turned: bool) -> None:
    """A second label raises the weight of the first one; a forty-first does not."""
    row = pd.DataFrame({"cleaned": ["a"], "label": [OLD]})
    before, now = (
        build_memory(
            pd.concat([row.assign(received_at=START, author="", kind="")] * count),
            classifier="topic",
            revision=1,
            as_of=FIT,
        )
        for count in (labels - 1, labels)
    )
    assert bool(TurnedPhrases.between(before, now).hashes) == turned
