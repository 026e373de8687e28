"""What users may rely on in the default head: minimum functionality, invariance, novelty."""

from __future__ import annotations

import time

import numpy as np
import pytest

from pipelines.model.classifier import PhraseClassifier
from pipelines.model.embedder import Embed
from pipelines.model.novelty import novelty
from tests.support.chapters import Split

PLAIN = {
    "Malignant neoplasm of stomach": "neoplasms",
    "Heart attack, acute myocardial infarction": "circulatory",
    "chronic asthma": "respiratory",
    "stomach ulcer with bleeding": "digestive",
    "rheumatoid arthritis of the knee": "musculoskeletal",
    "open wound of left hand": "injury",
}


@pytest.mark.parametrize("phrase", PLAIN)
def test_plain_phrases_are_understood(classifier: PhraseClassifier, phrase: str) -> None:
    assert classifier.predict([phrase])[0].label == PLAIN[phrase]


def test_case_spacing_and_width_do_not_matter(classifier: PhraseClassifier, terms: Split) -> None:
    phrases = [phrase for phrase, _ in terms.test[:60]]
    plain = classifier.predict(phrases)
    for change in (
        str.upper,
        str.title,
        lambda phrase: f"  {phrase}\t",
        lambda phrase: phrase.replace(" ", "\u00a0 "),
    ):
        changed = classifier.predict([change(phrase) for phrase in phrases])
        assert [answer.label for answer in changed] == [answer.label for answer in plain]
        assert np.allclose(
            [answer.probability for answer in changed],
            [answer.probability for answer in plain],
            atol=1e-5,
        )


def test_a_slip_of_the_keyboard_rarely_changes_the_answer(
    classifier: PhraseClassifier, terms: Split
) -> None:
    phrases = [phrase for phrase, _ in terms.test[:200]]
    slipped = [phrase[: len(phrase) // 2] + phrase[len(phrase) // 2 + 1 :] for phrase in phrases]
    before, after = (
        [answer.label for answer in classifier.predict(given)] for given in (phrases, slipped)
    )
    assert np.mean(np.array(before) == np.array(after)) > 0.85


FOREIGN = {
    "lungenkrebs": "neoplasms",
    "Herzinfarkt": "circulatory",
    "fractura de fémur izquierdo": "injury",
    "úlcera de estómago": "digestive",
    "asthme chronique": "respiratory",
    "arthrite du genou": "musculoskeletal",
    "ruptura de ligamento de la rodilla": "injury",
    "hypertension artérielle": "circulatory",
}


def test_other_languages_are_mostly_understood_though_never_trained_on(
    classifier: PhraseClassifier,
) -> None:
    answers = [answer.label for answer in classifier.predict(list(FOREIGN))]
    assert (
        sum(answer == label for answer, label in zip(answers, FOREIGN.values(), strict=True)) >= 6
    ), answers


def test_an_unknown_subject_is_novel(
    classifier: PhraseClassifier, embed: Embed, terms: Split
) -> None:
    strange = [
        "how do i activate my new card",
        "what is the exchange rate today",
        "book a flight to rome",
        "my phone has no signal",
    ]
    usual = novelty(classifier.head, embed([phrase for phrase, _ in terms.test]))
    assert (novelty(classifier.head, embed(strange)) > np.quantile(usual, 0.95)).all()


def test_one_phrase_of_a_trained_head_costs_well_below_a_millisecond(
    classifier: PhraseClassifier, embed: Embed, terms: Split
) -> None:
    cleaned = [phrase for phrase, _ in terms.test[:200]]
    vectors = embed(cleaned)
    started = time.process_time()
    for place, phrase in enumerate(cleaned):
        classifier.predict_cleaned([phrase], vectors[place : place + 1])
    assert (time.process_time() - started) / len(cleaned) < 0.001
