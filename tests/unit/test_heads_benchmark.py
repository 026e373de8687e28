"""What the comparison of heads decides with: how sets are cut, and which head it names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.heads import (
    bars,
    best_head,
    keep,
    mcnemar,
    read_kept,
    score,
    set_table,
    simplest_head,
)
from benchmarks.heads_contenders import Fitted
from benchmarks.heads_sets import JudgedRows, LabelledSet, Pairs, cut, most_frequent
from tests.support.training import training_rows, vectors_of


def pairs_of(labels: list[str]) -> Pairs:
    phrases = np.array([f"phrase {number}" for number in range(len(labels))], dtype=object)
    return Pairs(phrases, np.array(labels, dtype=object), np.zeros(len(labels), bool))


@given(
    labels=st.lists(st.sampled_from("abcd"), min_size=1, max_size=60),
    rows=st.integers(1, 9),
    seed=st.integers(0, 99),
)
def test_a_cut_keeps_the_first_rows_of_each_label(labels: list[str], rows: int, seed: int) -> None:
    order = np.random.default_rng(seed).permutation(len(labels))
    taken: list[int] = []
    for place in order.tolist():
        if sum(labels[other] == labels[place] for other in taken) < rows:
            taken.append(place)
    assert cut(pairs_of(labels), order, rows).tolist() == taken


def test_the_most_frequent_labels_are_kept() -> None:
    kept = most_frequent(pairs_of(["a", "b", "b", "c", "c", "c"]), 2)
    assert kept.labels.tolist() == ["b", "b", "c", "c", "c"]


def row(right: str, **figures: Any) -> dict[str, Any]:
    names = ("weighted_f1", "macro_f1", "tail_f1", "unseen_weighted_f1")
    measured = dict.fromkeys(names, right.count("1") / len(right))
    return {
        **measured,
        "calibration_error": 0.02,
        "unseen_calibration_error": 0.04,
        "fit_cpu_seconds": 4.0,
        "phrase_cpu_ms": 0.2,
        "bytes": 2_000_000,
        "training_rows": 900,
        "labels": 3,
        "unseen_rows": len(right),
        "right": right,
        **figures,
    }


def test_the_simplest_head_within_noise_of_the_best_is_named() -> None:
    figures = {
        "logistic": row("1" * 80 + "0" * 20),
        "hybrid_svm": row("1" * 96 + "0" * 4),
        "ensemble": row("1" * 97 + "0" * 3),
    }
    assert best_head(figures) == "ensemble"
    assert simplest_head(figures) == "hybrid_svm"
    page = set_table("blocks-20", figures)
    assert "The simplest head within noise of the best: hybrid_svm." in page
    assert "| ensemble |" in page and page.count("best |") == 1


def test_no_kind_is_named_when_a_peer_beats_all() -> None:
    figures = {"logistic": row("1" * 60 + "0" * 40), "fastText": row("1" * 90 + "0" * 10)}
    assert simplest_head(figures) is None
    assert "within noise of the best: none." in set_table("blocks-20", figures)


@pytest.mark.parametrize(
    ("first", "second", "p"),
    [("1111", "1111", 1.0), ("1" * 9 + "0", "0" * 9 + "1", 22 / 1024), ("10", "01", 1.0)],
)
def test_mcnemar_is_the_exact_binomial_test(first: str, second: str, p: float) -> None:
    assert mcnemar({"right": first}, {"right": second}) == pytest.approx(p)


def test_the_bars_compare_with_the_linear_svc_of_the_greater_f1() -> None:
    figures = {
        "hybrid_svm": row("1" * 9 + "0"),
        "LinearSVC, words": row("1" * 5 + "0" * 5, fit_cpu_seconds=1.0),
        "LinearSVC, words and characters": row("1" * 8 + "0" * 2, fit_cpu_seconds=10.0),
    }
    values = {bar.name.partition(": ")[2]: bar for bar in bars("blocks-20", figures)}
    assert values["fits, judged and served, by LinearSVC's"].value == 0.4
    assert values["unseen weighted F1 above LinearSVC's"].value == pytest.approx(0.1)
    assert all(bar.holds for bar in values.values())
    slow = {**figures, "hybrid_svm": row("1" * 9 + "0", fit_cpu_seconds=6.0, bytes=13_000_000)}
    assert sum(not bar.holds for bar in bars("blocks-20", slow)) == 2
    assert bars("blocks-20", {"mlp": row("11")}) == []


def test_kept_results_are_reused_for_the_same_seed_and_size_alone(tmp_path: Path) -> None:
    file = tmp_path / "kept.jsonl"
    assert read_kept(file, {}) == {} == read_kept(None, {})
    for seed, quick in ((1, False), (2, False), (1, True)):
        keep(file, {"set": "s", "head": "mlp", "seed": seed, "quick": quick, "bytes": seed})
    about = {"seed": 2, "quick": False}
    assert read_kept(file, about)["s", "mlp"]["bytes"] == 2
    assert list(read_kept(file, {"seed": 2, "quick": True})) == []


def test_scores_are_of_all_rows_of_the_tail_and_of_the_unseen() -> None:
    rows = training_rows()
    asked = np.array(["heart", "heart", "lung", "bone"])
    tested = JudgedRows(
        asked.astype(object), asked, np.array([True, False, True, True]), vectors_of(list(asked))
    )
    weights = np.where(np.arange(len(rows.labels)) < 50, 0, rows.weights)  # 50 heart rows fewer
    part = type(rows)(rows.cleaned, rows.labels, weights, rows.vectors, rows.validation)
    given_set = LabelledSet("s", part, tested, memory=None)  # type: ignore[arg-type]
    assert given_set.tail().tolist() == ["heart"]
    answered = np.array(["heart", "lung", "lung", "heart"])
    fitted = Fitted(answered, np.full(4, 0.5), 1.0, 0.1, 10)
    figures = score(fitted, given_set)
    assert figures["right"] == "110"
    assert figures["tail_f1"] == pytest.approx(0.5)
    assert figures["calibration_error"] == pytest.approx(0.0)
    assert figures["unseen_calibration_error"] == pytest.approx(2 / 3 - 0.5)
    assert score(Fitted(answered, None, 1.0, 0.1, 10), given_set)["calibration_error"] is None
