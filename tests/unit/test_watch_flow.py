"""What a watch does with the verdicts of several classifiers."""

from __future__ import annotations

from typing import Any

import pytest

from core.contracts import Verdict
from core.errors import HeadRefused, StageFailed
from flows.watch import respond, watch_each

DRIFT = Verdict("drift", ("labels moved twice",))
BROKEN = HeadRefused("a head", came="none", do="restore it")


class Actions:
    """`broken` cannot be judged, every other classifier drifts; records each response in order."""

    def __init__(self) -> None:
        self.taken: list[str] = []

    def announce(self, classifier: str, verdict: Verdict) -> None:
        self.taken.append(f"announced {classifier}")

    def retrain(self, classifier: str, verdict: Verdict) -> Verdict:
        self.taken.append(f"retrained {classifier}")
        if classifier == "unlucky":
            raise StageFailed("a stage", came="an error", do="mend it")
        return Verdict("promote")

    def watch(self, *classifiers: str, act: bool) -> tuple[dict[str, str], list[Any]]:
        def judge(classifier: str) -> Verdict:
            if classifier == "broken":
                raise BROKEN
            return respond(
                classifier,
                DRIFT,
                act=act,
                announce=self.announce,
                show=lambda *_: None,
                retrain=self.retrain,
            )

        verdicts, failures = watch_each(classifiers, judge)
        return {name: verdict.kind for name, verdict in verdicts.items()}, failures


@pytest.fixture
def actions() -> Actions:
    return Actions()


def test_a_classifier_that_cannot_be_watched_costs_no_other_its_drift(actions: Actions) -> None:
    verdicts, failures = actions.watch("first", "broken", "last", act=False)
    assert (verdicts, failures) == ({"first": "drift", "last": "drift"}, [BROKEN])
    assert actions.taken == ["announced first", "announced last"]


def test_with_act_a_drift_is_retrained_whatever_fails_beside_it(actions: Actions) -> None:
    verdicts, failures = actions.watch("first", "broken", "unlucky", "last", act=True)
    assert actions.taken == ["retrained first", "retrained unlucky", "retrained last"]
    assert verdicts == {"first": "promote", "last": "promote"}
    assert [type(error) for error in failures] == [HeadRefused, StageFailed]


def test_a_classifier_named_twice_is_watched_once(actions: Actions) -> None:
    assert actions.watch("first", "first", act=False) == ({"first": "drift"}, [])
    assert actions.taken == ["announced first"]
