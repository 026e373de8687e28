"""A retraining in ten lines."""

from __future__ import annotations

from typing import Any

import pytest

from cli.retrained import OUTCOMES, retrained_lines
from core.contracts import Verdict
from core.settings import load_settings

EVIDENCE: dict[str, Any] = {
    "version": "2",
    "champion_version": "1",
    "candidate_weighted_f1": 0.9312,
    "champion_weighted_f1": 0.928,
    "rows": 6645,
    "harms": [],
    "worst_recall_drop": 0.021,
    "worst_recall_label": "J40-J47",
    "gain_by_slice": {"north": 0.012, "south": -0.004},
    "drift_accuracy_before": 0.81,
    "drift_accuracy_after": 0.9,
    "flips_share": 0.023,
    "flips": ["A -> B: 1.10 %", "C -> D: 0.40 %"],
}


def lines(kind: str, evidence: dict[str, Any], *reasons: str) -> list[str]:
    return list(retrained_lines({"block": Verdict(kind, reasons, evidence)}, load_settings()))


def test_a_promotion_says_all_that_counts_in_ten_lines() -> None:
    shown = lines("promote", EVIDENCE, "gain at least +.0012")
    assert shown[0] == "block: promote, version 2 answers from now on"
    assert [line.split()[0] for line in shown[1:]] == [
        "score",
        "because",
        "worse",
        "better",
        "changes",
        "version",
        "runs",
        "next",
    ]
    text = "\n".join(shown)
    for part in (
        "weighted F1 0.9312 against 0.9280 of version 1, on 6,645 test rows",
        "recall of J40-J47 -2.10 points (not proved); south -0.40 points (not proved)",
        "answers since the drift 0.810 -> 0.900; north +1.20 points",
        "2.3 % of recent answers: A -> B: 1.10 %; C -> D: 0.40 %",
        "/#/models/block/versions/2",
        "perennial rollout rollback block",
    ):
        assert part in text


def test_a_version_that_may_refuse_says_what_it_promises() -> None:
    promise = "answers 83.1 % alone at 97.0 % or better"
    shown = lines("promote", {**EVIDENCE, "promise": promise}, "gain at least +.0012")
    assert [line.split()[0] for line in shown[1:4]] == ["score", "promise", "because"]
    assert promise in shown[2]


def test_a_version_that_trains_itself_says_what_it_gained() -> None:
    found = ["off: the head without it is right more often", "-0.30 points of accuracy"]
    shown = lines("promote", {**EVIDENCE, "self_training": found}, "gain at least +.0012")
    [place] = [number for number, line in enumerate(shown) if line.split()[0] == "self-training"]
    assert found[0] in shown[place] and found[1] in shown[place + 1]


def test_a_rejection_names_the_proved_harm_first_and_how_to_look_at_it() -> None:
    shown = lines("reject", {**EVIDENCE, "harms": ["slice of south"]}, "accuracy drops")
    assert shown[0] == "block: reject, version 1 stays, version 2 is rejected"
    assert any(line.split()[:4] == ["worse", "slice", "of", "south;"] for line in shown)
    assert shown[-1].endswith("perennial lineage block 2")


@pytest.mark.parametrize(
    ("kind", "next_command"), [("promote", "perennial up"), ("reject", "perennial lineage block 1")]
)
def test_a_first_version_is_compared_with_nothing(kind: str, next_command: str) -> None:
    shown = lines(kind, {"version": "1", "candidate_weighted_f1": 0.9, "rows": 70}, "why")
    assert "weighted F1 0.9000, on 70 test rows" in shown[1]
    assert "version none stays" not in shown[0]
    assert next_command in shown[-1]


def test_a_retraining_that_waits_has_no_version() -> None:
    shown = lines("wait", {}, "the next one is due on Friday")
    assert shown[0] == "block: wait, not now"
    assert shown[1].endswith("the next one is due on Friday")
    assert shown[-1].endswith("perennial status")


@pytest.mark.parametrize("kind", OUTCOMES)
def test_no_verdict_takes_more_than_ten_lines(kind: str) -> None:
    assert len(lines(kind, EVIDENCE, "one", "two", "three")) <= 10
