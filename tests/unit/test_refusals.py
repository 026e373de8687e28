"""A candidate that refuses otherwise than the champion waits for a person."""

from __future__ import annotations

import numpy as np
import pytest

from core.contracts import Verdict
from core.params.gate import GateParams
from flows.pages.verdict import render_verdict
from pipelines.gate.refusals import Refusals, count_refusals, hold_moved_refusals
from tests.support.heads import store_head

PROMOTE = Verdict("promote", ("better",), {"gain": 0.1})
COUNTS = np.ones(200)


def refuse(phrases: int) -> np.ndarray:
    return np.arange(200) < phrases


def test_shares_are_those_of_the_answers() -> None:
    counts = np.array([6, 1, 3])
    refusals = count_refusals(np.array([1, 0, 0], bool), np.array([0, 1, 0], bool), counts)
    assert (refusals.answers, refusals.before, refusals.after) == (10, 0.6, 0.1)
    assert refusals.chance == 1


@pytest.mark.parametrize(
    ("before", "after", "kind"),
    [(0, 20, "hold"), (20, 0, "hold"), (0, 9, "promote"), (8, 8, "promote")],
)
def test_a_share_that_moves_beyond_the_limit_waits(before: int, after: int, kind: str) -> None:
    refusals = count_refusals(refuse(before), refuse(after), COUNTS)
    verdict = hold_moved_refusals(PROMOTE, refusals, GateParams())
    assert verdict.kind == kind
    assert verdict.evidence["abstained_share"] == after / 200
    assert verdict.evidence["champion_abstained_share"] == before / 200
    place = 0 if kind == "hold" else -1
    assert f"it would refuse {after / 2:.1f} % of the recent answers" in verdict.reasons[place]
    assert f"the champion {before / 2:.1f} %" in verdict.reasons[place]
    assert ("a person promotes or leaves it" in verdict.reasons[0]) == (kind == "hold")


def test_one_frequent_phrase_may_be_chance() -> None:
    counts = np.append(np.full(199, 1), 500)
    after = np.arange(200) == 199
    refusals = count_refusals(np.zeros(200, bool), after, counts)
    assert refusals.after > 0.7
    assert hold_moved_refusals(PROMOTE, refusals, GateParams()).kind == "promote"


def test_the_limit_is_a_parameter() -> None:
    refusals = count_refusals(refuse(0), refuse(20), COUNTS)
    loose = GateParams(max_abstained_change=0.2)
    assert hold_moved_refusals(PROMOTE, refusals, loose).kind == "promote"


def test_other_verdicts_keep_their_kind() -> None:
    refusals = count_refusals(refuse(0), refuse(100), COUNTS)
    verdict = hold_moved_refusals(Verdict("reject", ("worse",)), refusals, GateParams())
    assert verdict.kind == "reject" and verdict.reasons[0] == "worse"


def test_versions_that_always_answer_say_nothing_of_it() -> None:
    assert hold_moved_refusals(PROMOTE, None, GateParams()) is PROMOTE


def test_the_page_of_a_verdict_says_what_is_promised(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    folder = tmp_path_factory.mktemp("page")
    held = hold_moved_refusals(PROMOTE, Refusals(200, 0.0, 0.1, 0.001), GateParams())
    promise = {"promise": "answers 83.1 % alone at 97.0 % or better"}
    verdict = Verdict(held.kind, held.reasons, {**held.evidence, **promise})
    page = render_verdict(
        folder, store_head(folder, "organ", "1"), verdict, reason="manual", links={}
    )
    assert "On its test rows it answers 83.1 % alone at 97.0 % or better." in page
    assert "it would refuse 10.0 % of the recent answers, the champion 0.0 %" in page
