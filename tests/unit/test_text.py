from __future__ import annotations

import sys
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.model.text import MAX_PHRASE_LENGTH, clean_learnable, clean_phrase

ANY_TEXT = st.text(st.characters(exclude_categories=()))


@given(ANY_TEXT)
def test_cleaning_twice_is_cleaning_once(phrase: str) -> None:
    assert clean_phrase(clean_phrase(phrase)) == clean_phrase(phrase)


@given(ANY_TEXT)
def test_the_result_can_be_stored_and_has_no_control_character(phrase: str) -> None:
    cleaned = clean_phrase(phrase)
    cleaned.encode("utf-8")
    assert not [
        character for character in cleaned if unicodedata.category(character) in {"Cc", "Cf", "Cs"}
    ]


@given(st.text())
def test_white_space_around_and_between_does_not_matter(phrase: str) -> None:
    assert clean_phrase(f"\t {phrase}\n") == clean_phrase(phrase)
    assert clean_phrase(phrase.replace(" ", " \u00a0 ")) == clean_phrase(phrase)


@given(ANY_TEXT, ANY_TEXT)
def test_what_a_blank_parts_is_cleaned_apart(first: str, second: str) -> None:
    apart = f"{clean_phrase(first)} {clean_phrase(second)}".strip()
    assert clean_phrase(f"{first} {second}") == apart


@given(ANY_TEXT)
def test_the_letters_case_does_not_matter(phrase: str) -> None:
    assert clean_phrase(phrase.casefold()) == clean_phrase(phrase)


@given(st.none() | ANY_TEXT)
def test_only_what_the_service_would_answer_is_learnt(phrase: str | None) -> None:
    assert clean_learnable(phrase) == ("" if phrase is None else clean_phrase(phrase))
    assert clean_learnable((phrase or "") + "x" * MAX_PHRASE_LENGTH) == (
        "" if phrase else "x" * MAX_PHRASE_LENGTH
    )


def test_every_code_point_is_cleaned_at_once() -> None:
    whole = "|".join(chr(code) for code in range(sys.maxunicode + 1))
    assert clean_phrase(clean_phrase(whole)) == clean_phrase(whole)


@pytest.mark.parametrize(
    ("phrase", "cleaned"),
    [
        ("  Fracture of\tLEFT  femur\r\n", "fracture of left femur"),
        ("Straße", "strasse"),
        ("ﬁbrosis ＡＢＣ ①", "fibrosis abc 1"),
        ("soft\u00adhyphen zero\u200bwidth", "softhyphen zerowidth"),
        ("bell\x07 null\x00", "bell null"),
        ("e\u0301", "é"),
        ("e\u200d\u0301", "é"),
        ("lone \ud800 surrogate", "lone surrogate"),
        ("", ""),
        ("\u200b \x00", ""),
    ],
)
def test_examples(phrase: str, cleaned: str) -> None:
    assert clean_phrase(phrase) == cleaned


@given(st.text(st.characters(max_codepoint=126, min_codepoint=32)))
def test_the_short_way_of_ascii_agrees_with_the_long_one(phrase: str) -> None:
    assert clean_phrase(phrase) == clean_phrase(phrase + "\u200b")
