from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import pytest
import sqlalchemy as sa

from bentos.answering.encoding import EncodedAnswer
from bentos.answering.warming import PROBE_PHRASES, Warmer, refuse_meaningless, save_phrases
from bentos.heads.loading import LiveModel
from core.errors import HeadRefused
from tests.support.heads import champion, store_head
from tests.support.request_paths import Bench

Result = TypeVar("Result")


def warmer_of(bench: Bench, *, phrases: int = 50, seconds: float = 30, **options: Any) -> Warmer:
    return Warmer(
        bench.answers, folder=bench.home / "caches", phrases=phrases, seconds=seconds, **options
    )


def on_a_thread(warmer: Warmer, action: Callable[[], Result]) -> Result:
    """As in the service: the event loop answers, another thread warms."""

    async def run() -> Result:
        warmer.use(asyncio.get_running_loop())
        work: Awaitable[Result] = asyncio.to_thread(action)
        return await work

    return asyncio.run(run())


def first_level(bench: Bench) -> set[tuple[str, str, str]]:
    """Classifier, version, phrase of what it holds."""
    return {
        (name, identity.partition(":")[0], text)
        for (name, identity, text), _ in bench.answers.cache.newest()
    }


def test_kept_phrases_are_answered_before_anybody_asks(bench: Bench) -> None:
    save_phrases(bench.home / "caches", {"organ": ["a", "b"], "gone": ["c"]})
    warmer = warmer_of(bench)
    assert not warmer.done
    on_a_thread(warmer, lambda: warmer.warm_all([bench.heads.current["organ"].champion]))
    assert (first_level(bench), warmer.done) == ({("organ", "1", "a"), ("organ", "1", "b")}, True)
    assert [answer.cached for answer in bench.answer("a", "b")] == [True, True]
    assert len(bench.logged()) == 2, "warming is no inference"


def test_a_new_version_is_warm_before_it_takes_traffic(bench: Bench) -> None:
    bench.answer("a", "b")
    warmer = warmer_of(bench)
    model = store_head(bench.home, "organ", "2")
    warm_before: list[set] = []

    def prepare(live: LiveModel) -> None:
        assert bench.heads.current["organ"].champion.model.version == "1"
        warmer.warm(live)
        warm_before.append(first_level(bench))

    bench.heads.prepare = prepare
    on_a_thread(warmer, lambda: bench.roll_out(champion(model)))
    assert {("organ", "2", "a"), ("organ", "2", "b")} <= warm_before[0]
    assert bench.embedder.batches == [["a", "b"], ["b", "a"]], "the second level knew them"


def test_warming_is_bounded_in_phrases_the_most_recent_first(bench: Bench) -> None:
    save_phrases(bench.home / "caches", {"organ": [f"phrase {number}" for number in range(200)]})
    warmer = warmer_of(bench, phrases=70)
    on_a_thread(warmer, lambda: warmer.warm_all([bench.heads.current["organ"].champion]))
    assert {text for _, _, text in first_level(bench)} == {
        f"phrase {number}" for number in range(70)
    }


def test_warming_is_bounded_in_time_and_a_version_serves_all_the_same(bench: Bench) -> None:
    save_phrases(bench.home / "caches", {"organ": ["a"]})
    warmer = warmer_of(bench, seconds=0)
    on_a_thread(warmer, lambda: warmer.warm_all([bench.heads.current["organ"].champion]))
    assert warmer.done


def test_without_the_embedder_warming_gives_up(bench: Bench) -> None:
    save_phrases(bench.home / "caches", {"organ": ["a"]})
    bench.embedder.down = True
    warmer = warmer_of(bench)
    on_a_thread(warmer, lambda: warmer.warm_all([bench.heads.current["organ"].champion]))
    assert (warmer.done, first_level(bench)) == (True, set())


def test_without_kept_phrases_the_log_is_asked_and_its_absence_does_no_harm(bench: Bench) -> None:
    calls: list[tuple[str, int]] = []

    def frequent(classifier: str, limit: int) -> list[str]:
        calls.append((classifier, limit))
        if len(calls) == 1:
            raise sa.exc.OperationalError("select", {}, Exception("away"))
        return ["from the log"]

    warmer = warmer_of(bench, frequent=frequent)
    on_a_thread(warmer, lambda: warmer.warm_all([bench.heads.current["organ"].champion]))
    assert (first_level(bench), warmer.done) == (set(), True)
    on_a_thread(warmer, lambda: warmer.warm_all([bench.heads.current["organ"].champion]))
    assert (first_level(bench), calls) == ({("organ", "1", "from the log")}, [("organ", 50)] * 2)


def test_what_is_saved_is_what_was_asked_last(bench: Bench) -> None:
    bench.answer("a")
    bench.answer("b")
    bench.answer("a")
    warmer_of(bench).save()
    assert warmer_of(bench)._saved == {"organ": ["a", "b"]}


@pytest.mark.parametrize(
    "response", [b'"label":"heart","probability":null}', b'"label":"heart","probability":0.5}']
)
def test_a_version_that_says_no_number_or_one_thing_to_the_warm_up_is_refused(
    response: bytes,
) -> None:
    with pytest.raises(HeadRefused):
        refuse_meaningless([EncodedAnswer(response, b"")] * PROBE_PHRASES)


def test_few_equal_answers_prove_nothing() -> None:
    refuse_meaningless([EncodedAnswer(b'"probability":0.5}', b"")] * (PROBE_PHRASES - 1))
    refuse_meaningless(
        [
            *[EncodedAnswer(b'"probability":0.5}', b"")] * PROBE_PHRASES,
            EncodedAnswer(b'"probability":0.6}', b""),
        ]
    )
