"""The gate's verdicts, and the laws that they keep."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import f1_score

from core.contracts import Verdict
from core.params.gate import GateParams
from monitoring.labels.unselected import choose_unselected
from pipelines.gate.bounds import bound_gain
from pipelines.gate.decide import decide
from pipelines.gate.drifted import DriftRows
from pipelines.gate.flips import count_flips, hold_large_changes
from pipelines.gate.hypotheses import visible_fall
from pipelines.gate.rows import GateRows
from pipelines.gate.rules import new_rule_rows
from pipelines.gate.scores import encode, f1_differences, weighted_f1
from pipelines.gate.sign_flips import flip_signs, gain_p_value, harm_p_values, probability
from pipelines.gate.traffic import post_stratify
from pipelines.gate.words import missing_rows
from tests.support.gates import gate_rows

POLICY = GateParams()
ORDER = ("reject", "undecided", "keep", "promote")
PHRASES = 1500


def made(*, wins: int = 0, losses: int = 0, rows_each: int = 2, seed: int = 1) -> GateRows:
    """Rows of 1,500 phrases: some are right in one version only."""
    draw = np.random.default_rng(seed)
    labels = draw.choice(["a", "b", "c"], p=[0.6, 0.3, 0.1], size=PHRASES)
    order = draw.permutation(PHRASES)
    candidate = labels.copy()
    champion = labels.copy()
    champion[order[:wins]] = "d"
    candidate[order[wins : wins + losses]] = "d"
    repeated = [np.repeat(column, rows_each) for column in (labels, candidate, champion)]
    phrases = np.repeat(np.arange(PHRASES), rows_each)
    return gate_rows(repeated[0], phrases, repeated[1], repeated[2], floor="a")


def corrected(rows: GateRows, *, count: int) -> GateRows:
    """As `rows`, and corrections that the candidate has right and the champion wrong."""
    assert rows.champion is not None
    none = np.zeros(count, dtype=bool)
    return replace(
        rows,
        truth=np.append(rows.truth, np.full(count, "a")),
        phrases=np.append(rows.phrases, PHRASES + np.arange(count)),
        candidate=np.append(rows.candidate, np.full(count, "a")),
        champion=np.append(rows.champion, np.full(count, "b")),
        weights=np.append(rows.weights, np.ones(count)),
        judges=np.append(rows.judges, none),
    )


def kind(rows: GateRows, policy: GateParams = POLICY) -> str:
    return decide(rows, policy, seed=1).kind


def test_a_first_version_needs_the_floor_and_the_minimum_alone() -> None:
    rows = replace(made(), champion=None)
    verdict = decide(rows, POLICY, seed=1)
    assert verdict.kind == "promote"
    assert "losses cannot be judged" in verdict.reasons[0]
    assert kind(rows, GateParams(min_weighted_f1=1.0)) == "promote"
    assert kind(replace(rows, candidate=np.full(len(rows.truth), "a"))) == "reject"


@pytest.mark.parametrize(
    ("wins", "losses", "expected"),
    [(0, 0, "keep"), (2, 2, "keep"), (30, 2, "promote"), (2, 60, "reject"), (20, 26, "undecided")],
)
def test_each_verdict(wins: int, losses: int, expected: str) -> None:
    assert kind(made(wins=wins, losses=losses)) == expected


def test_undecided_says_what_is_missing() -> None:
    reason = decide(made(wins=20, losses=26), POLICY, seed=1).reasons[0]
    assert "more test rows would decide" in reason and "phrases" in reason


@pytest.mark.parametrize(
    ("gain", "bound", "expected"),
    [
        (0.005, -0.015, "about 3,000 more test rows would decide"),
        (-0.01, -0.03, "about 3,000 more test rows would decide"),
        (-0.01, -0.015, "few more test rows would prove the loss"),
        (0.0, -0.005001, "about 1 more test row would decide"),
    ],
)
def test_missing_rows_narrow_the_bound_to_the_margin_or_to_a_loss(
    gain: float, bound: float, expected: str
) -> None:
    evidence = {"gain": gain, "gain_lower_bound": bound, "rows": 1000, "discordant_phrases": 40}
    assert missing_rows(evidence, GateParams(max_weighted_f1_drop=0.005)) == expected


def test_one_broken_label_is_seen_beside_a_gain_elsewhere() -> None:
    rows = made(wins=60)
    rare = np.flatnonzero(rows.truth == "c")
    broken = np.isin(rows.phrases, np.unique(rows.phrases[rare])[:60])
    verdict = decide(replace(rows, candidate=np.where(broken, "d", rows.candidate)), POLICY, seed=1)
    assert verdict.kind == "reject"
    assert "recall of c" in verdict.evidence["harms"]


def test_a_slice_that_is_harmed_rejects() -> None:
    rows = made(wins=100, losses=30)
    assert rows.champion is not None
    lost = rows.phrases[(rows.candidate != rows.truth)]
    region = np.isin(rows.phrases, np.append(np.unique(lost), np.arange(50)))
    verdict = decide(replace(rows, slices={"region south": region}), POLICY, seed=1)
    assert verdict.kind == "reject"


def test_corrections_decide_nothing() -> None:
    worse = made(wins=2, losses=60)
    verdict = decide(corrected(worse, count=600), POLICY, seed=1)
    assert verdict.kind == "reject"
    assert (verdict.evidence["corrections"], verdict.evidence["corrections_right"]) == (600, 600)
    assert kind(corrected(made(wins=2, losses=2), count=600)) == "keep"


def test_the_ways_of_being_better() -> None:
    rows = made(wins=2, losses=2)
    assert rows.champion is not None
    old = replace(rows, champion_days=91.0)
    assert decide(old, POLICY, seed=1).evidence["better"] == ["age"]
    new = replace(
        rows,
        champion_labels=frozenset("ab"),
        champion=np.where(rows.truth == "c", "a", rows.champion),
    )
    assert "new_labels" in decide(new, POLICY, seed=1).evidence["better"]


def drifted(*, before: Sequence[str], after: Sequence[str], repeated: bool = True) -> DriftRows:
    """One row per phrase, with the right label "a"."""
    count = len(before)
    return DriftRows(
        truth=np.full(count, "a"),
        phrases=np.arange(count),
        before=np.array([*before]),
        after=np.array([*after]),
        repeated=np.full(count, repeated),
    )


def test_a_drift_that_was_learnt_promotes_where_few_rows_bound_nothing() -> None:
    """What clients get by the retraining counts, memory included; losses must still be small."""
    few = made().only(np.arange(PHRASES * 2) < 600)
    learnt = replace(few, drift=drifted(before="dddddddd", after="aaaaaaad"))
    assert kind(few) == "undecided"
    verdict = decide(learnt, POLICY, seed=1)
    assert verdict.kind == "promote"
    assert (verdict.evidence["drift_accuracy_before"], verdict.evidence["drift_gain"]) == (
        0.0,
        0.875,
    )
    nothing = drifted(before="aaaaaaaa", after="aaaaaaaa")
    assert kind(replace(few, drift=nothing)) == "undecided"
    by_heart = drifted(before="dddddddd", after="aaaaaaaa", repeated=False)
    assert kind(replace(few, drift=by_heart)) == "undecided"
    worse = np.where(np.arange(600) >= 570, "d", few.truth)
    assert kind(replace(learnt, candidate=worse)) in ("undecided", "reject")


def test_once_a_drift_was_answered_the_bound_must_lie_within_the_margin_again() -> None:
    """Clients get the memory of the drift with the champion, too: to keep it is neutral."""
    told = decide(replace(made(), drift=drifted(before="d" * 9, after="a" * 9)), POLICY, seed=1)
    assert "as clients got it to 1.000" in told.reasons[0]
    few = made().only(np.arange(PHRASES * 2) < 600)
    learnt = drifted(before="dddddddd", after="aaaaaaad")
    assert kind(replace(few, drift=learnt)) == "promote"
    assert kind(replace(few, drift=replace(learnt, unanswered=False))) == "undecided"
    enough = decide(replace(made(), drift=replace(learnt, unanswered=False)), POLICY, seed=1)
    assert "with the champion and today's memory to 0.875" in enough.reasons[0]
    assert "since_drift" in enough.evidence["better"]


@pytest.mark.parametrize(("gained", "verdict"), [(8, "undecided"), (12, "promote")])
def test_a_gain_since_the_drift_that_is_proved_must_also_matter(gained: int, verdict: str) -> None:
    """Of 2,000 rows: less than half a point is what the memory alone gains in a quarter."""
    few = made().only(np.arange(PHRASES * 2) < 600)
    before = "d" * gained + "a" * (2000 - gained)
    judged = decide(replace(few, drift=drifted(before=before, after="a" * 2000)), POLICY, seed=1)
    assert (judged.kind, judged.evidence["drift_gain_p"] < 0.05) == (verdict, True)


def test_small_losses_do_not_add_up() -> None:
    better = made(wins=30)
    assert better.champion is not None
    proved = np.where(better.phrases % 50 == 0, better.truth, better.candidate)
    fallen = np.where(better.phrases % 50 == 0, "d", better.candidate)
    champion = np.where(better.phrases % 50 == 0, "d", better.champion)
    rows = replace(better, candidate=fallen, champion=champion)
    assert kind(rows) == "promote"
    assert kind(replace(rows, proved=proved)) == "undecided"


@pytest.mark.parametrize("count", [0, 1, 50])
def test_few_rows_are_never_a_proof(count: int) -> None:
    rows = made(wins=5)
    first = np.arange(len(rows.truth)) < count
    assert kind(replace(rows, floor="d").only(first)) == "undecided"
    one_phrase = replace(rows, phrases=np.zeros(len(rows.truth), dtype=int))
    assert kind(one_phrase) in ("undecided", "keep")


def test_the_champions_own_head_is_kept_however_few_the_rows() -> None:
    few = made().only(np.arange(PHRASES * 2) < 4)
    assert kind(few) == "undecided"
    assert kind(replace(few, same_head=True)) == "keep"
    assert kind(replace(few, same_head=True, champion_days=91.0)) == "promote"


def test_only_corrections_are_undecided() -> None:
    rows = made()
    assert kind(replace(rows, judges=np.zeros(len(rows.truth), dtype=bool))) == "undecided"


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 20), st.integers(0, 40), st.integers(0, 2**32 - 1))
def test_the_order_of_rows_decides_nothing(wins: int, losses: int, seed: int) -> None:
    rows = made(wins=wins, losses=losses)
    order = np.random.default_rng(seed).permutation(len(rows.truth))
    verdict = decide(rows, POLICY, seed=1)
    assert decide(rows.only(order), POLICY, seed=1).kind == verdict.kind
    assert decide(rows, POLICY, seed=1) == verdict


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 12), st.integers(1, 12))
def test_a_candidate_that_is_right_more_often_is_never_nearer_to_a_rejection(
    wins: int, losses: int
) -> None:
    """Whether a gain is proved depends on the labels of the phrases, too: 6 wins, 2 losses."""
    ranks = [
        min(ORDER.index(kind(made(wins=more, losses=fewer))), ORDER.index("keep"))
        for more, fewer in ((wins, losses), (wins, losses - 1), (wins + 1, losses - 1))
    ]
    assert ranks == sorted(ranks)


@given(st.lists(st.floats(0.01, 1), min_size=1, max_size=8), st.integers(0, 7))
def test_one_loss_less_never_proves_more_harm(sizes: list[float], lost: int) -> None:
    signs = np.where(np.arange(len(sizes)) <= lost, -1.0, 1.0)
    differences = signs * np.array(sizes)
    before = harm_p_values(differences[:, None], flip_signs(len(sizes), seed=1))[0][0]
    rest = differences[1:]
    after = harm_p_values(rest[:, None], flip_signs(len(rest), seed=1))[0][0] if len(rest) else 1.0
    assert after >= before - 1e-9


def test_the_p_value_of_few_phrases_is_exact() -> None:
    assert gain_p_value(np.array([1.0, 2.0, 3.0, 0.0]), seed=1) == 1 / 8
    assert gain_p_value(np.zeros(4), seed=1) == 1.0


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("abcd")), min_size=1))
def test_weighted_f1_is_scikit_learns(pairs: list[tuple[str, str]]) -> None:
    truth, predicted = zip(*pairs, strict=True)
    assert weighted_f1(truth, predicted) == pytest.approx(
        f1_score(truth, predicted, average="weighted", zero_division=0)
    )


def test_the_phrases_shares_sum_to_the_gain() -> None:
    rows = made(wins=30, losses=10)
    assert rows.champion is not None
    truth, candidate, champion = encode(rows.truth, rows.candidate, rows.champion)
    gain = weighted_f1(rows.truth, rows.candidate) - weighted_f1(rows.truth, rows.champion)
    assert f1_differences(truth, candidate, champion, rows.weights).sum() == pytest.approx(
        gain, rel=0.02
    )


def test_a_bound_lies_below_its_estimate_and_leaves_room_for_phrases_not_drawn() -> None:
    shares = np.full(1000, 0.001)
    nothing = bound_gain(np.zeros(1000), shares)
    assert nothing.estimate == 0.0
    assert -0.004 < nothing.lower < -0.001


def test_a_fall_is_visible_where_enough_phrases_can_speak() -> None:
    assert visible_fall(5) is None
    assert visible_fall(30) == 0.3
    assert visible_fall(1000) == 0.1


def test_strata_give_each_kind_of_phrase_its_share_of_the_traffic() -> None:
    phrases = np.repeat(np.arange(120), np.where(np.arange(120) < 40, 8, 1))
    fresh = np.zeros(len(phrases), dtype=bool)
    test = np.isin(phrases, np.r_[0:10, 40:90])
    strata = post_stratify(phrases, fresh, test)
    frequent = phrases < 40
    assert strata.uncovered == 0.0
    assert strata.weights[test].mean() == pytest.approx(1.0)
    share = strata.weights[frequent].sum() / strata.weights.sum()
    assert share == pytest.approx(frequent.mean())
    assert post_stratify(phrases, fresh, np.zeros(len(phrases), dtype=bool)).uncovered == 1.0


def test_flips_are_counted_by_frequency_and_hold_a_promotion() -> None:
    flips = count_flips(["a", "b", "c"], ["a", "c", "d"], np.array([6, 3, 1]))
    assert flips.share == 0.4
    assert flips.most_frequent[0] == ("b", "c", 0.3)
    strict = GateParams(max_flips=0.3)
    promote = Verdict("promote", ("better",))
    assert hold_large_changes(promote, flips, strict).kind == "hold"
    assert hold_large_changes(promote, flips, POLICY).kind == "promote"
    assert hold_large_changes(Verdict("keep"), flips, strict).kind == "keep"


def test_feedback_judges_when_it_was_not_chosen_for_being_wrong() -> None:
    rows = [
        ("1", "sample", "ann", False),
        ("2", "correction", "ann", False),
        ("3", "unknown", "coding desk", True),
        ("4", "unknown", "coding desk", False),
        ("5", "unknown", "bob", False),
    ]
    assert choose_unselected(rows) == {"1", "3", "4"}


@pytest.mark.parametrize("candidate", ["a", "b"])
def test_test_rows_of_one_phrase_prove_nothing(candidate: str) -> None:
    rows = gate_rows(["a"] * 500, ["p"] * 500, [candidate] * 500, ["a"] * 500, floor="b")
    expected = "undecided" if candidate == "a" else "reject"
    verdict = decide(rows, POLICY, seed=1)
    assert verdict.kind == expected
    assert verdict.evidence["effective_phrases"] == 1.0


def test_a_label_renamed_in_the_source_is_a_label_that_the_champion_lacks() -> None:
    """It answers the old name, which no row has any more."""
    rows = made()
    assert rows.champion is not None
    truth = np.where(rows.truth == "b", "b, renamed", rows.truth)
    renamed = replace(
        rows,
        truth=truth,
        candidate=truth,
        champion_labels=frozenset({"a", "b", "c"}),
    )
    verdict = decide(renamed, POLICY, seed=1)
    assert (verdict.kind, verdict.evidence["harms"]) == ("promote", [])
    assert "new_labels" in verdict.evidence["better"]


def labels_of(*rows: tuple[str, str, int]) -> pa.Table:
    """Rows (phrase, label, day)."""
    days = [datetime(2026, 1, day, tzinfo=UTC) for _, _, day in rows]
    return pa.table(
        {
            "cleaned": [phrase for phrase, _, _ in rows],
            "label": [label for _, label, _ in rows],
            "occurred_at": pa.array(days, pa.timestamp("us", "UTC")),
        }
    )


def test_a_rule_is_new_when_a_known_phrase_agrees_on_another_label() -> None:
    labels = labels_of(
        *[("moved", "a", day) for day in (1, 2, 3)],
        *[("moved", "b", day) for day in (11, 12, 13)],
        ("moved", "c", 4),
        *[("noise", "a", day) for day in (1, 2, 3, 11, 13)],
        ("noise", "b", 12),
        *[("new", "b", day) for day in (11, 12, 13)],
    )
    marked = new_rule_rows(labels, labels, datetime(2026, 1, 10, tzinfo=UTC))
    assert marked.sum() == 0  # three of four rows before the fit agree: not yet a rule
    labels = pa.concat_tables([labels, labels_of(("moved", "a", 5))])
    marked = new_rule_rows(labels, labels, datetime(2026, 1, 10, tzinfo=UTC))
    assert labels.filter(pa.array(marked))["cleaned"].to_pylist() == ["moved"] * 3


def test_a_rule_that_the_champion_cannot_know_is_better() -> None:
    rows = made(wins=3)
    assert rows.champion is not None
    new_rules = rows.champion != rows.truth
    verdict = decide(replace(rows, new_rules=new_rules), POLICY, seed=1)
    assert "new_rules" in verdict.evidence["better"]
    unlearnt = replace(rows, new_rules=new_rules, candidate=rows.champion)
    assert decide(unlearnt, POLICY, seed=1).kind == "keep"


@pytest.mark.parametrize(
    ("wins", "losses", "kind_of_it"),
    [(30, 30, "promote"), (28, 30, "undecided"), (150, 150, "undecided")],
)
def test_a_candidate_that_knows_new_rules_and_seems_no_worse_is_promoted(
    wins: int, losses: int, kind_of_it: str
) -> None:
    """Too few phrases prove that it is not worse; the champion cannot learn the rules."""
    rows = made(wins=wins, losses=losses)
    assert rows.champion is not None
    assert kind(rows) == "undecided"
    new_rules = (rows.champion != rows.truth) & (rows.candidate == rows.truth)
    assert kind(replace(rows, new_rules=new_rules)) == kind_of_it


def test_without_rows_since_the_drift_there_is_no_gain() -> None:
    stopped = replace(made(wins=2, losses=2), drift=drifted(before="", after=""))
    verdict = decide(stopped, POLICY, seed=1)
    assert "drift_rows" not in verdict.evidence
    assert verdict.kind in ("keep", "undecided")


@pytest.mark.parametrize(
    ("p", "text"),
    [
        (0.0, "probability below 0.001"),
        (0.0009, "probability below 0.001"),
        (0.0123, "probability 0.012"),
    ],
)
def test_a_small_probability_is_not_rounded_to_nothing(p: float, text: str) -> None:
    assert probability(p) == text
