"""The laws of pins: when one answers, what it answers, and what its phrase's rows say."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bentos.heads.pins import PINS, LivePins, encode_pins, load_pins
from core.contracts import Prediction
from core.pins import NO_PINS, KnownPins, Pin, answering_pins, apply_pin
from monitoring.labels.pin_list import pin_history
from tests.support.pins import MOMENT, pin_of

LABELS = st.sampled_from(["heart", "lung", "liver"])
PHRASES = st.sampled_from(["a", "b", "c"])
PREDICTIONS = st.builds(
    Prediction,
    LABELS,
    st.floats(0, 1),
    st.just((("spleen", 0.1),)),
    known=st.booleans(),
)
MOMENTS = st.integers(-5, 5).map(lambda days: MOMENT + timedelta(days=days))
PINS_OF_A_MOMENT = st.dictionaries(PHRASES, LABELS).map(
    lambda labels: [
        pin_of(phrase, label, number) for number, (phrase, label) in enumerate(labels.items())
    ]
)


@given(prediction=PREDICTIONS, label=LABELS)
def test_a_client_of_a_pinned_phrase_gets_the_label_of_the_pin(
    prediction: Prediction, label: str
) -> None:
    answer = apply_pin(prediction, pin_of("a", label))
    assert answer.label == label
    assert answer.known is prediction.known


@given(prediction=PREDICTIONS)
def test_a_pin_rests_while_the_version_says_the_same(prediction: Prediction) -> None:
    assert apply_pin(prediction, pin_of("a", prediction.label)) is prediction
    assert apply_pin(prediction, None) is prediction


@given(prediction=PREDICTIONS, label=LABELS)
def test_applying_a_pin_twice_changes_nothing(prediction: Prediction, label: str) -> None:
    once = apply_pin(prediction, pin_of("a", label))
    assert apply_pin(once, pin_of("a", label)) is once


@given(now=MOMENTS, later=MOMENTS, until=st.none() | MOMENTS)
def test_a_pin_that_is_over_stays_over(now: object, later: object, until: object) -> None:
    pin = pin_of("a", "heart", until=until)
    first, last = sorted([now, later])  # type: ignore[type-var]
    if answering_pins([pin], last):  # type: ignore[arg-type]
        assert answering_pins([pin], first) == (pin,)  # type: ignore[arg-type]


@given(first=PINS_OF_A_MOMENT, then=PINS_OF_A_MOMENT)
def test_a_swap_names_exactly_the_phrases_that_change(first: list[Pin], then: list[Pin]) -> None:
    live = LivePins()
    live.swap(first)
    changed = live.swap(then)
    before = {pin.cleaned: pin for pin in first}
    after = {pin.cleaned: pin for pin in then}
    assert changed == {("organ", text) for text in "abc" if before.get(text) != after.get(text)}
    assert [live.find("organ", text) for text in "abc"] == [after.get(text) for text in "abc"]
    assert live.swap(then) == frozenset()


@given(pins=PINS_OF_A_MOMENT, newest=st.integers(0, 9), until=st.none() | MOMENTS)
def test_the_last_known_pins_are_read_as_they_were_written(
    tmp_path_factory: pytest.TempPathFactory, pins: list[Pin], newest: int, until: object
) -> None:
    folder = tmp_path_factory.mktemp("pins")
    ended = tuple(replace(pin, until=until) for pin in pins)  # type: ignore[arg-type]
    known = KnownPins(newest, ended)
    (folder / PINS).write_bytes(encode_pins(known))
    assert load_pins(folder) == known


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"newest": "x"}', b"\xff"])
def test_an_unreadable_file_of_pins_holds_none(tmp_path: Path, content: bytes) -> None:
    (tmp_path / PINS).write_bytes(content)
    assert load_pins(tmp_path) == NO_PINS


ROWS = st.lists(st.tuples(PHRASES, LABELS | st.none()))


@given(rows=ROWS)
def test_of_a_phrase_at_most_one_pin_answers_and_every_pin_is_listed(
    rows: list[tuple[str, str | None]],
) -> None:
    history = pin_history([row_of(place, *row) for place, row in enumerate(rows)], now=MOMENT)
    assert [each.pin.id for each in history] == [
        place for place, (_, label) in enumerate(rows) if label is not None
    ]
    newest = {phrase: (place, label) for place, (phrase, label) in enumerate(rows)}
    for phrase in "abc":
        place, label = newest.get(phrase, (None, None))
        of_phrase = [each for each in history if each.pin.cleaned == phrase]
        ended = [each for each in of_phrase if each.state == "ended"]
        last = [each.pin.id for each in of_phrase if each.state == "answers"]
        assert last == ([place] if label is not None else [])
        assert all(each.ended_why == "test" for each in ended)


class Row(SimpleNamespace):
    """A row of the table; its values in the order of the columns."""

    def __iter__(self):  # type: ignore[no-untyped-def]
        return iter(vars(self).values())


def row_of(number: int, cleaned: str, label: str | None) -> Row:
    return Row(
        id=number,
        classifier="organ",
        cleaned=cleaned,
        label=label,
        since=MOMENT,
        until=None,
        author="anna",
        why="test",
    )
