"""When the answers of people decide an item: pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from core.feedback import NONE_OF_THESE

AnswerKind = Literal["label", "none_of_these", "skip"]
MOST = 3
"""Where two people disagree, a third decides."""


@dataclass(frozen=True)
class Answer:
    """What a person said of an item: a label, that none is right, or why they skip it."""

    kind: AnswerKind
    label: str | None = None
    reason: str | None = None


@dataclass(frozen=True)
class Judgement:
    """`decided` is the answer that counts, None while the item waits for `needs` people."""

    needs: int
    decided: Answer | None = None


def judge_answers(answers: Sequence[Answer], *, needs: int) -> Judgement:
    """Judge the answers to an item, in order and without skips.

    Equal answers of as many people as the item needs decide it. Where they disagree, one more
    person is asked; the answer of the third decides.
    """
    if len(answers) < needs:
        return Judgement(needs)
    distinct = {(answer.kind, answer.label) for answer in answers}
    if len(distinct) == 1 or len(answers) >= MOST:
        return Judgement(needs, answers[-1])
    return Judgement(MOST)


def feedback_kind(answer: Answer, *, answered: str, probability: float | None, people: int) -> str:
    """Return the kind of feedback that a decided answer becomes.

    `answered` is the label that the service answered, `probability` that of a random item.
    """
    if answer.kind == "none_of_these":
        return NONE_OF_THESE
    if probability is not None:
        return "sample"
    if people > 1:
        return "double_review"
    return "confirmation" if answer.label == answered else "correction"
