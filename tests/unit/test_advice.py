"""Advice from logged requests: both levels against really filled caches, costs, workers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bentos.lru import LruCache
from operations.sizing.advice import Advice, Costs, advise_sizes, costs_of
from operations.sizing.advice_page import advice_facts, advice_rows
from operations.sizing.plot import draw_hit_rates
from operations.sizing.requests_log import LoggedRequests
from operations.sizing.trial import newest_of_busiest


def logged(
    rows: list[tuple[str, int]],
    *,
    cached: list[bool] | None = None,
    latency_ms: list[float] | None = None,
) -> LoggedRequests:
    phrases = [f"phrase {number}" for _, number in rows]
    hits = np.array(cached or [False] * len(rows), bool)
    spent = np.array(latency_ms or [0.0] * len(rows))
    return LoggedRequests(
        phrases, phrases, [name for name, _ in rows], ["1"] * len(rows), hits, spent
    )


def advice(
    rows: LoggedRequests,
    *,
    costs: Costs | None = None,
    now: tuple[int, int] = (5, 5),
    within: float = 0.0,
) -> Advice:
    return advise_sizes(rows, costs=costs, now=now, rate=50, peak=200, within=within)


def simulated(rows: LoggedRequests, *, first: int, second: int) -> float:
    """Share of answers without a computed embedding, by two caches one behind the other."""
    answers: LruCache[tuple[str, str], int] = LruCache(first)
    embeddings: LruCache[str, int] = LruCache(second)
    hits = 0
    for name, cleaned in zip(rows.classifier, rows.cleaned, strict=True):
        if answers.get((name, cleaned)) or embeddings.get(cleaned):
            hits += 1
        else:
            embeddings.put(cleaned, 1)
        answers.put((name, cleaned), 1)
    return hits / len(rows.cleaned)


@given(
    st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 15)), min_size=1, max_size=150),
    st.integers(1, 12),
    st.integers(1, 12),
)
def test_the_hit_rate_is_that_of_two_caches_one_behind_the_other(
    rows: list[tuple[str, int]], first: int, second: int
) -> None:
    result = advice(logged(rows), now=(first, second))
    assert result.hit_rate_now == pytest.approx(simulated(logged(rows), first=first, second=second))
    assert result.hit_rate == pytest.approx(
        simulated(logged(rows), first=result.answers.size, second=result.embeddings.size)
    )


def test_the_advised_size_is_much_smaller_when_a_little_hit_rate_may_be_lost() -> None:
    rows = logged([("a", number) for number in np.random.default_rng(1).zipf(1.3, 20_000).tolist()])
    exact = advice(rows)
    near = advice(rows, within=0.02)
    assert near.answers.size < exact.answers.size / 2
    assert near.answers.rate(near.answers.size) >= exact.answers.rate(exact.answers.size) - 0.02


def test_embeddings_are_kept_for_the_moment_when_a_promotion_empties_the_first_level() -> None:
    result = advice(logged([("a", number % 40) for number in range(400)]))
    assert result.embeddings.rate(result.embeddings.size) == 0, (
        "one version's answers need them once"
    )
    assert result.embeddings.size == 40


def test_costs_are_medians_of_the_log_once_there_are_enough_of_both() -> None:
    rows = [("a", 1)] * 60
    hits = [True] * 30 + [False] * 30
    assert costs_of(
        logged(rows, cached=hits, latency_ms=[0.2] * 29 + [9.0] + [4.0] * 29 + [900.0])
    ) == Costs(0.2, 4.0)
    assert costs_of(logged(rows, cached=[False] * 60, latency_ms=[1.0] * 60)) is None


def test_workers_and_threads_bear_the_peak() -> None:
    rows = logged([("a", number) for number in [*range(50), *([0] * 50)]])
    result = advice(rows, costs=Costs(hit_ms=2.0, miss_ms=30.0))
    assert result.hit_rate == 0.5
    assert result.speed_up == pytest.approx(1 / (0.5 + 0.5 * 2 / 30))
    assert result.workers == 6, "200 a second x 16 ms are 3.2 busy; at 60 % that takes 5.3"
    assert result.threads == 5, "200 a second x half x 30 ms are 3; at 60 % that takes 5"
    assert (advice(rows).workers, advice(rows).speed_up) == (None, None)


def test_a_trial_plays_the_newest_phrases_of_the_classifier_that_was_asked_most() -> None:
    stream = newest_of_busiest(logged([("a", 1), ("b", 2), ("a", 3), ("a", 4)]), 2)
    assert (stream.phrase, stream.classifier) == (["phrase 3", "phrase 4"], ["a", "a"])


def test_an_advice_is_presented_and_drawn(tmp_path: Path) -> None:
    result = advice(logged([("a", number % 9) for number in range(100)]), costs=Costs(0.2, 4.0))
    assert advice_facts(result, None)["levels"][0]["curve"][-1] == {"size": 9, "hit_rate": 0.91}
    assert dict(advice_rows(result, None))["PERENNIAL_CACHE_ANSWERS"].startswith(
        "9 entries hit 91.0%"
    )
    draw_hit_rates(result, tmp_path / "x" / "hits.png")
    assert (tmp_path / "x" / "hits.png").read_bytes().startswith(b"\x89PNG")
