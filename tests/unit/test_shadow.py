from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest

from bentos.answering import shadow as module
from bentos.answering.answers import PhraseRequest
from bentos.heads.loading import LiveModel
from tests.support.embedders import vector_of
from tests.support.heads import canary, champion, make_head, shadow, store_head
from tests.support.request_paths import Bench


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    """Version 1 answers, version 2 is its shadow."""
    bench = Bench(tmp_path)
    bench.roll_out(
        champion(store_head(tmp_path, "organ", "1")),
        shadow=shadow(store_head(tmp_path, "organ", "2")),
    )
    yield bench
    bench.journal.close()


def rows(bench: Bench, role: str) -> list[dict]:
    return [row for row in bench.logged() if row["role"] == role]


def score(bench: Bench) -> None:
    asyncio.run(bench.answers.shadow.score_batch())


def outcomes(bench: Bench) -> dict[str, int]:
    return dict(bench.answers.shadow.counts.phrases)


def test_an_answer_is_scored_by_the_shadow_under_the_same_request(bench: Bench) -> None:
    [answer] = bench.ask([PhraseRequest("Heart", key="k", region="north")])
    assert (answer.version, rows(bench, "shadow")) == ("1", []), "the answer does not wait for it"
    score(bench)
    [answered] = rows(bench, "champion")
    [shadowed] = rows(bench, "shadow")
    same = ("request_id", "occurred_at", "phrase", "cleaned", "region", "routing_key", "classifier")
    assert {name: shadowed[name] for name in same} == {name: answered[name] for name in same}
    expected = make_head("2").probabilities(["heart"], np.stack([vector_of("heart")])).max()
    assert (shadowed["version"], shadowed["probability"]) == (
        "2",
        pytest.approx(expected, abs=1e-5),
    )
    assert shadowed["cached"], "the embedder knew the phrase from the answer"
    assert outcomes(bench) == {"scored": 1, "dropped": 0, "failed": 0}


def test_a_batch_is_scored_with_one_call_and_repeated_phrases_once(bench: Bench) -> None:
    bench.answer("a", "b", "a")
    bench.answer("a")
    score(bench)
    assert bench.embedder.batches == [["a", "b"], ["a", "b"]]
    assert [row["phrase"] for row in rows(bench, "shadow")] == ["a", "b", "a", "a"]


def test_the_shadow_leaves_the_answers_cache_alone(bench: Bench) -> None:
    bench.answer("a")
    score(bench)
    assert {identity.partition(":")[0] for (_, identity, _), _ in bench.answers.cache.newest()} == {
        "1"
    }


def test_a_full_queue_drops_and_counts_what_does_not_fit(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "QUEUE_PHRASES", 3)
    assert len(bench.answer("a", "b", "c", "d", "e")) == 5
    assert (len(bench.answers.shadow), outcomes(bench)["dropped"]) == (3, 2)
    score(bench)
    assert len(rows(bench, "shadow")) == 3


def test_what_fails_is_counted_and_no_client_hears_of_it(bench: Bench) -> None:
    bench.answer("a", "b")
    bench.embedder.down = True
    score(bench)
    assert (outcomes(bench), rows(bench, "shadow")) == (
        {"scored": 0, "dropped": 0, "failed": 2},
        [],
    )
    assert [answer.version for answer in bench.answer("a")] == ["1"]


def test_while_clients_wait_for_the_embedder_the_shadow_waits_for_them(bench: Bench) -> None:
    waiting = [module.BUSY_MISSES]
    bench.answers.shadow._busy = lambda: waiting[0]
    bench.answer("a")

    async def run() -> tuple[int, int]:
        task = asyncio.create_task(bench.answers.shadow.run())
        await asyncio.sleep(3 * module.GATHER_SECONDS)
        held = len(bench.answers.shadow)
        waiting[0] = 0
        async with asyncio.timeout(60):
            while outcomes(bench)["scored"] == 0:
                await asyncio.sleep(0.01)
        task.cancel()
        return held, len(bench.answers.shadow)

    assert asyncio.run(run()) == (1, 0)


def test_a_canarys_answers_are_shadowed_too_but_never_by_itself(bench: Bench) -> None:
    first, second, third = (store_head(bench.home, "organ", version) for version in "123")
    bench.roll_out(champion(first), canary=canary(second, 1.0), shadow=shadow(third))
    bench.answer("a")
    bench.roll_out(champion(first), canary=canary(second, 1.0), shadow=shadow(second))
    bench.answer("a")
    score(bench)
    assert [(row["version"], row["role"]) for row in bench.logged()] == [
        ("2", "canary"),
        ("2", "canary"),
        ("3", "shadow"),
    ]


def test_a_head_that_fails_costs_its_own_phrases_only(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    live = bench.heads.current["organ"]
    assert live.champion is not None and live.shadow is not None

    def fails(*_: object, **__: object) -> None:
        raise ValueError("no")

    async def both(*models: LiveModel) -> list:
        answers = (bench.answers.batcher.answer([(model, "a")]) for model in models)
        return list(await asyncio.gather(*answers, return_exceptions=True))

    monkeypatch.setattr(live.shadow.classifier, "predict_cleaned", fails)
    good, bad = asyncio.run(both(live.champion, live.shadow))
    assert (len(good), type(bad), len(bench.answers.batcher)) == (1, ValueError, 0)


def test_moments_of_a_batch_are_those_of_its_answers(bench: Bench) -> None:
    bench.answer("a", "b")
    score(bench)
    assert len({datetime.fromisoformat(row["occurred_at"]) for row in bench.logged()}) == 1
