from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from sklearn.feature_extraction.text import CountVectorizer, TfidfTransformer

from pipelines.model.features import (
    as_matrix,
    count_ngrams,
    inverse_document_frequency,
    weigh_ngrams,
)
from pipelines.model.text import clean_phrase

BUCKETS = 2**20  # wide enough that the n-grams of these examples do not meet
CLEANED = st.lists(st.text(max_size=30).map(clean_phrase), max_size=8)


def dense(cleaned: list[str], buckets: int = 64) -> np.ndarray:
    return as_matrix(
        count_ngrams(cleaned, buckets=buckets), shape=(len(cleaned), 2 * buckets)
    ).toarray()


@given(CLEANED)
def test_a_phrase_has_the_same_ngrams_alone_and_in_any_batch(cleaned: list[str]) -> None:
    alone = [dense([phrase])[0] for phrase in cleaned]
    assert np.array_equal(dense(cleaned), np.array(alone).reshape(len(cleaned), 128))


def test_the_ngrams_are_those_of_scikit_learn() -> None:
    phrases = ["chronic kidney disease, stage 3", "a", "left femur", "école 心臓病 b_2"]
    words = CountVectorizer(ngram_range=(1, 2), token_pattern=r"\w+")
    characters = CountVectorizer(analyzer="char_wb", ngram_range=(2, 5))
    for phrase in phrases:
        columns = count_ngrams([phrase], buckets=BUCKETS).columns
        assert (columns < BUCKETS).sum() == len(words.fit([phrase]).vocabulary_)
        assert (columns >= BUCKETS).sum() == len(characters.fit([phrase]).vocabulary_)


def test_equal_ngrams_share_a_column_and_are_counted() -> None:
    first, second = dense(["knee knee", "knee"], BUCKETS)
    shared = np.flatnonzero(second)
    assert (first[shared] == 2 * second[shared]).all()
    assert first.sum() == 2 * second.sum() + 1  # the pair "knee knee" is its own


def test_no_ngram_crosses_from_one_phrase_to_the_next() -> None:
    together = dense(["left", "knee"], BUCKETS)
    apart = dense(["left knee"], BUCKETS)
    assert together.sum() == apart.sum() - 1  # only the word pair is missing


def test_weights_are_those_of_tf_idf() -> None:
    phrases = ["left knee knee", "left hip", "right hip joint", ""]
    counts = count_ngrams(phrases, buckets=64)
    idf = inverse_document_frequency(counts, phrases=4, columns=128)
    ours = as_matrix(weigh_ngrams(counts, idf=idf, weight=0.7), shape=(4, 128)).toarray()
    assert np.allclose(
        ours, 0.7 * TfidfTransformer().fit_transform(dense(phrases)).toarray(), atol=1e-6
    )


def test_hashes_spread_over_all_buckets() -> None:
    used = count_ngrams([f"word{number} other{number * 7}" for number in range(3000)], buckets=256)
    assert len(np.unique(used.columns)) == 512
