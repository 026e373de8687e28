"""When answers decide an item, and what feedback they become."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitoring.review.agreement import measure_agreement
from monitoring.review.deciding import Answer, feedback_kind, judge_answers

ANSWERS = st.sampled_from(["heart", "lung", "liver"]).map(lambda name: Answer("label", name))
HEART = Answer("label", "heart")
LUNG = Answer("label", "lung")
NONE = Answer("none_of_these")


@given(st.lists(ANSWERS, max_size=3), st.integers(1, 2))
def test_an_item_is_decided_when_people_agree_or_a_third_came(
    answers: list[Answer], needs: int
) -> None:
    judgement = judge_answers(answers, needs=needs)
    enough = len(answers) >= needs
    agreed = len(set(answers)) == 1
    assert (judgement.decided is not None) == (enough and (agreed or len(answers) == 3))
    if judgement.decided is not None:
        assert judgement.decided == answers[-1]


@pytest.mark.parametrize("other", [LUNG, NONE])
def test_a_third_person_decides_where_two_disagree(other: Answer) -> None:
    judgement = judge_answers([HEART, other], needs=2)
    assert (judgement.needs, judgement.decided) == (3, None)
    assert judge_answers([HEART, other, other], needs=3).decided == other


@pytest.mark.parametrize(
    ("answer", "probability", "people", "kind"),
    [
        (HEART, None, 1, "confirmation"),
        (LUNG, None, 1, "correction"),
        (LUNG, None, 2, "double_review"),
        (LUNG, 0.1, 1, "sample"),
        (HEART, 0.1, 3, "sample"),
        (NONE, 0.1, 2, "none_of_these"),
    ],
)
def test_the_kind_of_feedback(
    answer: Answer, probability: float | None, people: int, kind: str
) -> None:
    assert feedback_kind(answer, answered="heart", probability=probability, people=people) == kind


def labelled(*labels: str) -> list[tuple[int, tuple[str, str | None]]]:
    """Two people for each item: `"ab"` means that one said a and the other b."""
    return [(number, ("label", label)) for number, pair in enumerate(labels) for label in pair]


def test_agreement_is_krippendorffs_alpha() -> None:
    # K. Krippendorff, 2011, "Computing Krippendorff's alpha-reliability", section A
    published = ["01", "11", "01", "00", "00", "01", "00", "00", "10", "00"]
    assert measure_agreement(labelled(*published)).alpha == pytest.approx(0.095, abs=0.0005)
    assert measure_agreement(labelled("aa", "bb")).alpha == 1


def test_agreement_of_any_number_of_people() -> None:
    """Reliability data of the paper's section C: 12 units, four people, answers missing."""
    people = (
        ("1", "2", "3", "3", "2", "1", "4", "1", "2", None, None, None),
        ("1", "2", "3", "3", "2", "2", "4", "1", "2", "5", None, "3"),
        (None, "3", "3", "3", "2", "3", "4", "2", "2", "5", "1", None),
        ("1", "2", "3", "3", "2", "4", "4", "1", "2", "5", "1", None),
    )
    answers: list[tuple[int, tuple[str, str | None]]] = [
        (unit, ("label", label))
        for person in people
        for unit, label in enumerate(person)
        if label is not None
    ]
    assert measure_agreement(answers).alpha == pytest.approx(0.743, abs=0.0005)


def test_no_agreement_without_pairs() -> None:
    assert measure_agreement([]).alpha is None
    assert measure_agreement(labelled("a", "b")).items == 0
    assert measure_agreement(labelled("aa", "aa")).alpha is None
