from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bentos.answering.answers import PhraseRequest
from bentos.answering.batching import THREAD_FROM
from bentos.heads.routing import meets_canary
from core.errors import EmbedderUnavailable, InvalidPhrase, UnknownClassifier
from tests.support.embedders import vector_of
from tests.support.heads import canary, champion, make_head, store_head
from tests.support.request_paths import Bench


def test_an_answer_is_the_head_applied_to_the_cleaned_phrase(bench: Bench) -> None:
    [answer] = bench.answer("  Broken HEART ")
    expected = make_head("1").probabilities(
        ["broken heart"], np.stack([vector_of("broken heart")])
    )[0]
    assert answer.label == make_head("1").labels[expected.argmax()]
    assert answer.probability == pytest.approx(expected.max())
    assert (answer.classifier, answer.version, answer.role) == ("organ", "1", "champion")


def test_every_phrase_has_its_own_request_id(bench: Bench) -> None:
    ids = [answer.request_id for answer in bench.answer("a", "a", "b")]
    assert len(set(ids)) == 3
    assert {UUID(request_id).version for request_id in ids} == {7}
    assert [row["request_id"] for row in bench.logged()] == ids


def test_cached_says_that_no_embedding_was_computed(bench: Bench) -> None:
    assert [answer.cached for answer in bench.answer("a", "b")] == [False, False]
    assert [answer.cached for answer in bench.answer("A", "c")] == [True, False]
    bench.promote("organ", "2")
    assert [answer.cached for answer in bench.answer("a", "d")] == [True, False], (
        "the embedder's cache outlives a version"
    )


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25)
@given(
    st.lists(
        st.sampled_from(["heart", "Heart ", "lung", "liver", "broken bone"]), min_size=1, max_size=6
    )
)
def test_a_cached_answer_equals_a_computed_one(bench: Bench, phrases: list[str]) -> None:
    def answers() -> list[tuple[str, float, object]]:
        return [
            (answer.label, answer.probability, answer.alternatives)
            for answer in bench.answer(*phrases)
        ]

    first = answers()
    assert answers() == first
    classifier = bench.heads.current["organ"].champion.classifier
    cleaned = [phrase.lower().strip() for phrase in phrases]
    fresh = classifier.predict_cleaned(cleaned, np.stack([vector_of(text) for text in cleaned]))
    assert [label for label, *_ in first] == [prediction.label for prediction in fresh]
    assert [probability for _, probability, *_ in first] == pytest.approx(
        [prediction.probability for prediction in fresh], abs=1e-5
    )


def test_a_phrase_is_embedded_once_for_a_batch_and_once_for_a_version(bench: Bench) -> None:
    bench.answer("a", "A", "b")
    bench.answer("b", "a")
    assert bench.embedder.batches == [["a", "b"]]


def test_a_new_version_does_not_answer_from_the_old_ones_cache(bench: Bench) -> None:
    [before] = bench.answer("a")
    bench.promote("organ", "2")
    [after] = bench.answer("a")
    expected = make_head("2").probabilities(["a"], np.stack([vector_of("a")])).max()
    assert (after.version, after.probability) == ("2", pytest.approx(expected))
    assert after.probability != before.probability


def test_a_large_batch_is_answered_in_order(bench: Bench) -> None:
    phrases = [f"phrase {number}" for number in range(THREAD_FROM * 4)]
    vectors = np.stack([vector_of(phrase) for phrase in phrases])
    expected = [
        one.label
        for one in bench.heads.current["organ"].champion.classifier.predict_cleaned(
            phrases, vectors
        )
    ]
    assert [answer.label for answer in bench.answer(*phrases)] == expected
    assert set(expected) == {"heart", "lung"}


def test_what_was_said_is_logged_with_the_answer(bench: Bench) -> None:
    moment = datetime(2026, 3, 4, 5, 6, tzinfo=UTC)
    [answer] = bench.ask(
        [PhraseRequest(" Heart", key="patient 7", occurred_at=moment, region="north")]
    )
    [row] = bench.logged()
    expected = {
        "phrase": " Heart",
        "cleaned": "heart",
        "region": "north",
        "routing_key": "patient 7",
        "version": "1",
        "cached": False,
    }
    assert {name: row[name] for name in expected} == expected
    assert datetime.fromisoformat(row["occurred_at"]) == moment
    assert (row["request_id"], row["label"]) == (answer.request_id, answer.label)


def test_without_a_moment_the_row_is_dated_now(bench: Bench) -> None:
    before = datetime.now(UTC)
    bench.answer("a")
    assert before <= datetime.fromisoformat(bench.logged()[0]["occurred_at"]) <= datetime.now(UTC)


@pytest.mark.parametrize("phrase", ["", " ", "\t\n", "\u200b", "\x07"])
def test_a_phrase_without_text_is_refused_and_nothing_is_logged(bench: Bench, phrase: str) -> None:
    with pytest.raises(InvalidPhrase) as refused:
        bench.answer("fine", phrase)
    assert (refused.value.field, bench.logged()) == ("phrases[1]", [])


def test_an_unknown_classifier_is_refused(bench: Bench) -> None:
    with pytest.raises(UnknownClassifier, match="organ"):
        bench.answer("a", classifier="liver")


def test_without_the_embedder_known_phrases_are_still_answered(bench: Bench) -> None:
    bench.answer("a")
    bench.embedder.down = True
    assert [answer.cached for answer in bench.answer("a")] == [True]
    with pytest.raises(EmbedderUnavailable):
        bench.answer("a", "new")
    assert len(bench.logged()) == 2, "what was not answered is not logged"


def test_counts_follow_what_was_answered(bench: Bench) -> None:
    bench.answer("a", "b")
    bench.answer("a")
    counts = bench.answers.counts
    assert (counts.answered, counts.cached["organ"], counts.requests) == (
        {("organ", "1", "champion"): 3},
        1,
        2,
    )


def with_canary(bench: Bench, share: float) -> None:
    bench.roll_out(
        champion(store_head(bench.home, "organ", "1")),
        canary=canary(store_head(bench.home, "organ", "2"), share),
    )


def meets(identity: str, share: float) -> bool:
    return meets_canary(identity, classifier="organ", version="2", share=share)


def test_every_phrase_of_a_batch_meets_champion_or_canary_by_itself(bench: Bench) -> None:
    with_canary(bench, 0.3)
    phrases = [f"phrase {number}" for number in range(60)]
    expected = [("2", "canary") if meets(phrase, 0.3) else ("1", "champion") for phrase in phrases]
    answers = bench.answer(*phrases)
    assert [(answer.version, answer.role) for answer in answers] == expected
    assert len(set(expected)) == 2
    assert len(bench.embedder.batches) == 1, "one call of the embedder for both versions"
    assert [(row["version"], row["role"], row["label"]) for row in bench.logged()] == [
        (a.version, a.role, a.label) for a in answers
    ]
    for answer, phrase in zip(answers, phrases, strict=True):
        right = (
            make_head(answer.version).probabilities([phrase], np.stack([vector_of(phrase)])).max()
        )
        assert answer.probability == pytest.approx(right, abs=1e-5)


def test_a_key_meets_one_version_whatever_the_phrase(bench: Bench) -> None:
    with_canary(bench, 0.5)
    for key in ("patient 1", "patient 2", "patient 3", "patient 4"):
        answers = bench.ask([PhraseRequest(f"phrase {number}", key=key) for number in range(10)])
        assert {answer.role for answer in answers} == {"canary" if meets(key, 0.5) else "champion"}


def test_spelling_does_not_change_who_answers(bench: Bench) -> None:
    with_canary(bench, 0.5)
    answers = bench.answer("Broken Heart", " broken  heart ", "BROKEN HEART")
    assert len({answer.version for answer in answers}) == 1


def test_a_canary_that_ends_leaves_everything_to_the_champion(bench: Bench) -> None:
    with_canary(bench, 1.0)
    assert {answer.role for answer in bench.answer("a", "b", "c")} == {"canary"}
    bench.promote("organ", "1")
    assert {answer.role for answer in bench.answer("a", "b", "c")} == {"champion"}
