from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import pytest

from bentos.answering.answers import PhraseRequest
from bentos.heads.memories import MemoryFollower, NewMemory
from core.memory_revisions import MemoryRevision
from pipelines.memory.build import build_memory
from pipelines.model.memory import Memory, changed_hashes, save_memory
from tests.support.request_paths import Bench

NOW = pd.Timestamp("2026-01-01", tz="UTC")
COLUMNS = ["cleaned", "label", "received_at", "author", "kind"]


def memory_of(revision: int, **labels: str) -> Memory:
    """Three agreeing labels of three people for each phrase."""
    rows = [
        (cleaned, label, NOW, author, "sample")
        for cleaned, label in labels.items()
        for author in "abc"
    ]
    return build_memory(
        pd.DataFrame(rows, columns=COLUMNS), classifier="organ", revision=revision, as_of=NOW
    )


def new(memory: Memory, before: Memory | None = None) -> NewMemory:
    return NewMemory(memory, frozenset(changed_hashes(before, memory)))


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    bench = Bench(tmp_path)
    bench.promote("organ", "1")
    return bench


def test_without_a_memory_answers_name_none(bench: Bench) -> None:
    [answer] = bench.answer("a")
    assert (answer.revision, answer.known) == (None, False)
    assert [(row["revision"], row["head_label"]) for row in bench.logged()] == [(None, None)]


def test_a_phrase_is_answered_with_its_own_labels(bench: Bench) -> None:
    [before] = bench.answer("a")
    other = "lung" if before.label == "heart" else "heart"
    bench.answers.swap_memory(new(memory_of(1, a=other)))
    known, stranger = bench.answer("a", "b")
    assert (known.label, known.revision, known.known) == (other, 1, True)
    assert (stranger.revision, stranger.known) == (1, False)
    assert known.probability + sum(share.probability for share in known.alternatives) == (
        pytest.approx(1, abs=1e-5)
    )
    rows = bench.logged()
    assert [row["head_label"] for row in rows] == [None, before.label, None]
    assert [row["revision"] for row in rows] == [None, 1, 1]


def test_a_label_that_the_head_lacks_is_answered(bench: Bench) -> None:
    bench.answers.swap_memory(new(memory_of(1, a="liver")))
    assert bench.answer("a")[0].label == "liver"


def test_only_what_a_revision_changes_leaves_the_cache(bench: Bench) -> None:
    first = memory_of(1, a="liver", b="lung")
    bench.answers.swap_memory(new(first))
    bench.answer("a", "b", "c")
    bench.answers.swap_memory(new(memory_of(2, a="heart", b="lung"), before=first))
    assert {key[2] for key, _ in bench.answers.cache.newest()} == {"b", "c"}
    changed, same, unknown = bench.answer("a", "b", "c")
    assert (changed.label, changed.revision) == ("heart", 2)
    assert (same.label, same.revision, unknown.revision) == ("lung", 1, 1)


def test_every_version_answers_beside_the_newest_memory(bench: Bench) -> None:
    bench.answers.swap_memory(new(memory_of(1, a="liver")))
    bench.promote("organ", "2")
    [answer] = bench.answer("a")
    assert (answer.label, answer.version) == ("liver", "2")


def test_a_revision_that_comes_while_an_answer_is_computed_is_not_lost(tmp_path: Path) -> None:
    """THREAD_FROM phrases and more are scored on a thread: the swap falls between both ends."""
    bench = Bench(tmp_path)
    bench.promote("organ", "1")
    phrases = [f"p{number}" for number in range(40)]

    async def race() -> None:
        asking = asyncio.create_task(
            bench.answers.answer("organ", [PhraseRequest(phrase) for phrase in phrases])
        )
        while not asking.done():
            await asyncio.sleep(0)
            if bench.answers.memories.revisions == {}:
                bench.answers.swap_memory(new(memory_of(1, p0="liver")))
        await asking

    asyncio.run(race())
    assert bench.answer("p0")[0].label == "liver"


def revision_row(memory: Memory, folder: Path) -> MemoryRevision:
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    return MemoryRevision(
        classifier=memory.classifier,
        revision=memory.revision,
        made_at=moment,
        as_of=moment,
        digest=save_memory(memory, folder),
        location=str(folder),
        snapshot="s",
        first_feedback=None,
        last_feedback=None,
        phrases=1,
        labels=1,
        enabled=True,
        why="test",
    )


def test_the_follower_loads_each_revision_once(tmp_path: Path) -> None:
    taken: list[NewMemory] = []
    follower = MemoryFollower(tmp_path, taken.append)
    first = revision_row(memory_of(1, a="liver"), tmp_path / "1")
    for _ in range(2):
        follower.refresh({"organ": first})
    follower.refresh({"organ": revision_row(memory_of(2, a="liver", b="lung"), tmp_path / "2")})
    assert [(each.memory.revision, len(each.changed)) for each in taken] == [(1, 1), (2, 1)]


def test_a_damaged_revision_is_refused_and_the_next_one_taken(tmp_path: Path) -> None:
    taken: list[NewMemory] = []
    follower = MemoryFollower(tmp_path, taken.append)
    damaged = replace(revision_row(memory_of(1, a="liver"), tmp_path / "1"), digest="sha256:0")
    for _ in range(2):
        follower.refresh({"organ": damaged})
    assert not taken and follower.refused == {("organ", 1)}
    follower.refresh({"organ": revision_row(memory_of(2, a="liver"), tmp_path / "2")})
    assert [each.memory.revision for each in taken] == [2]
