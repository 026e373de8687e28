"""Cards: every figure is bound to its query, and nothing of the data becomes markup."""

from __future__ import annotations

import copy
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from core.params.bias import BiasParams
from flows.candidates.cards import LONGEST_DESCRIPTION, with_card
from pipelines.bias.report import bias_report
from pipelines.cards.card import as_json, ask, changes, from_json, step
from pipelines.cards.data_card import data_card
from pipelines.cards.derived import answer_costs, cost_per_thousand, derive, energy
from pipelines.cards.files import changed_pages, save_cards, stored_cards, stored_page
from pipelines.cards.model_card import model_card
from pipelines.cards.pages import as_html, as_markdown, as_text
from pipelines.stages.scores import ScoredAnswers
from pipelines.stages.scores import score as score_answers
from tests.unit.test_bias import fair, measure_all

EVIL = "<script>alert(1)</script> | a/b {x}"
NAMES_WITH_DIGITS = re.compile(r"F1|95 %|[{][^}]*[}]")


def predictions(rows: int = 600) -> pa.Table:
    rng = np.random.default_rng(3)
    phrase = (80 * rng.random(rows) ** 2).astype(int)
    label = np.array(["a", "b", EVIL], dtype=object)[phrase % 3]
    predicted = np.where(rng.random(80)[phrase] < 0.2, "a", label)
    return pa.table(
        {
            "cleaned": [f"phrase {number}" for number in phrase],
            "label": list(label),
            "predicted": list(predicted),
            "probability": 0.5 + rng.random(rows) / 2,
            "seen": phrase % 2 == 0,
        }
    )


def facts(**changed: Any) -> dict[str, Any]:
    """The facts of a version, as a run with everything records them."""
    report = bias_report(measure_all(fair(), min_rows=200), limits=BiasParams().model_dump())
    aggregation = {
        "kind": "aggregation", "dimension": "all", "group": "regions", "rows": 10, "value": 0.01,
        "low": -0.01, "high": 0.03, "missing": "", "limit": 0.02, "within": True,
    }  # fmt: skip
    report["measures"].append(aggregation)
    report["kinds"]["aggregation"] = aggregation
    scores = {"f1": 0.5, "recall": 0.4, "precision": 0.7, "support": 40}
    split = {
        "train_rows": 4000, "test_rows": 600, "unseen_test_rows": 30, "first": "2023-01-01",
        "last": "2025-12-31", "left_out": {"rare": 3}, "left_out_rows": 3, "stored_rows": 5000,
        "rows": 4600, "rows_before_history": 300, "unusable_rows": 100,
    }  # fmt: skip
    times = {"train": {"seconds": 12.5, "cpu_seconds": 11.0}}
    failed = {
        "name": "fresh", "column": None, "passed": False, "severity": "warning", "observed": 9,
        "limit": 7,
    }  # fmt: skip
    params = {
        "purpose": "To sort notes.", "owner": "The desk", "source": {"label": "l", "query": "q"},
        "gate": {"min_weighted_f1": 0.5, "max_weighted_f1_drop": 0.005}, "costs": None,
    }  # fmt: skip
    slices = {"a/b": {"rows": 9, "candidate": 0.8, "champion": 0.7}}
    evidence = {"visible_harm": "above 3 %", "accuracy_by_slice": slices}
    found: dict[str, Any] = {
        "classifier": "organ",
        "version": "3",
        "params": params,
        "run": {"run": "r", "reason": "manual", "git_commit": "c", "embedder_id": "e"},
        "gate": {"kind": "promote", "reasons": [EVIL], "evidence": evidence},
        "snapshot": {"logical_hash": "h", "as_of": "2026", "rows": 5000, "git_tag": "t",
                     "summary": {"labels": {"l": {EVIL: 7, "b": 2}}}},
        "evaluation": {"labels": {EVIL: scores}, "metrics": {"calibration_error": 0.01},
                       "unseen_metrics": {"calibration_error": 0.02}},
        "head": {"kind": "logistic", "labels": ["a", "b", EVIL]},
        "split": split,
        "bias": report,
        "times": times,
        "checks": {"verdict": "warn", "checks": [failed]},
        "derived": derive(predictions(), costs=None, times=times),
        "labels": 3, "rules": 2, "labels_left_out": 1, "groups_not_measured": 2,
        "snapshot_labels": 2, "checks_made": 1, "checks_failed": 1,
    }  # fmt: skip
    return found | changed


def cards(known: dict[str, Any]) -> dict[str, Any]:
    return {"model": model_card(known), "data": data_card(known)}


def test_every_sentence_with_a_figure_is_bound_to_its_query() -> None:
    known = facts()
    figures = 0
    for card in cards(known).values():
        for _, sentence in card.every_sentence():
            figures += len(sentence.figures)
            for figure in sentence.figures.values():
                assert figure.value is not None, figure.query
                assert figure.value == ask(figure.query, known)
        for section in card.sections:
            for sentence in section.sentences:
                assert not re.search(r"\d", NAMES_WITH_DIGITS.sub("", sentence.text)), sentence.text
    assert figures > 60


def test_the_cards_of_a_line_name_its_region_and_count_the_other_rows() -> None:
    known = facts()
    assert "alone" not in as_text(model_card(known)) + as_text(data_card(known))
    known["params"]["line"] = {"of": "organ", "by": "region", "value": "north"}
    known["split"]["rows_of_other_regions"] = 1234
    assert "It answers organ in the region north alone." in as_text(model_card(known))
    assert "1,234 more rows are of other regions." in as_text(data_card(known))


def test_a_card_is_true_until_one_of_its_facts_changes() -> None:
    known = facts()
    for card in cards(known).values():
        assert changes(from_json(json.loads(json.dumps(as_json(card)))), known) == []
    later = copy.deepcopy(known)
    later["split"]["train_rows"] = 4001
    later["gate"] = None
    found = {change.query: change for change in changes(model_card(known), later)}
    assert (found["split/train_rows"].was, found["split/train_rows"].is_now) == ("4,000", "4,001")
    assert found["gate/kind"].is_now == "nothing"
    assert set(found) >= {"gate/reasons/0", "gate/evidence/visible_harm"}


def test_labels_and_sentences_of_the_data_do_not_become_markup() -> None:
    for card in cards(facts()).values():
        page = as_html(card)
        assert "<script" not in page and "&lt;script&gt;alert(1)" in page
        assert "http" not in page
        text = as_markdown(card)
        assert "<script" not in text.replace("\\<script", "") and "\\| a/b {x}" in text
        assert EVIL in as_text(card)


def test_the_model_card_says_what_a_version_labelled_itself() -> None:
    known = facts()
    assert "labelled itself" not in as_text(model_card(known))
    report = {
        "state": "on", "problem": "", "phrases": 4000, "joined": 1500, "gain": 0.0121,
        "gain_low": 0.0007, "gain_high": 0.0235, "joined_by_label": {"a/b": 1400, EVIL: 100},
    }  # fmt: skip
    known["evaluation"]["self_training"] = report
    card = model_card(known)
    text = as_text(card)
    assert "Of 4,000 phrases that clients asked and nobody labelled, 1,500 joined" in text
    assert "by +1.21 points (+0.07 to +2.35, 95 %)" in text
    later = copy.deepcopy(known)
    later["evaluation"]["self_training"]["joined_by_label"]["a/b"] = 1399
    [change] = changes(card, later)
    assert (change.was, change.is_now) == ("1,400", "1,399")
    away = {"state": "off: no unlabelled phrase", "problem": "the log was away", "phrases": 0}
    known["evaluation"]["self_training"] = away
    text = as_text(model_card(known))
    assert "Self-training is off: no unlabelled phrase." in text
    assert "Why there were none: the log was away." in text


def test_slices_of_the_gate_show_both_versions() -> None:
    lines = as_text(model_card(facts())).splitlines()
    assert any(line.split() == ["a/b", "9", "0.8000", "0.7000"] for line in lines)


def test_an_old_version_says_what_nobody_recorded() -> None:
    known: dict[str, Any] = {
        "classifier": "organ", "version": "1", "params": {}, "run": {}, "gate": None,
        "snapshot": None, "derived": {},
    }  # fmt: skip
    text = "\n".join(map(as_text, cards(known).values()))
    for sentence in (
        "Nobody has written down what it is for",
        "Nobody is named as its owner",
        "The gate never judged it",
        "no loss could be seen at all",
        "It was not measured when the version was made",
        "The times of its stages were not recorded",
        "The data checks of its run were not recorded",
        "it answers every phrase",
    ):
        assert sentence in text


def test_the_contract_of_abstention_is_printed_where_there_is_one() -> None:
    promise = {"answered": 0.83, "precision": 0.97}
    contract = {"policy": {"max_false": 0.04}, "rule": {"threshold": 1}, "promise": promise}
    text = as_text(model_card(facts(evaluation={"abstention": contract})))
    assert "It answers 83.00 % of the test rows alone, and at least 97.00 %" in text
    without = {**contract, "rule": None}
    assert "no threshold" in as_text(model_card(facts(evaluation={"abstention": without})))


def test_scores_have_intervals_that_hold_them() -> None:
    found = derive(predictions(), costs=None, times={})["scores"]
    table = predictions().to_pandas()
    right = (table["label"] == table["predicted"]).mean()
    assert found["all"]["accuracy"]["value"] == pytest.approx(right, abs=1e-6)
    for score in found["all"].values():
        assert score["low"] < score["value"] < score["high"]
    asked = ScoredAnswers(
        truth=np.array(table["label"], dtype=str),
        predicted=np.array(table["predicted"], dtype=str),
        probability=table["probability"].to_numpy(),
    )
    expected = score_answers(asked)
    assert expected.pop("rows") == len(table)
    assert {name: score["value"] for name, score in found["all"].items()} == expected
    assert derive(predictions(), costs=None, times={})["scores"] == found
    with_cost = cost_per_thousand(predictions(), None)
    assert with_cost["value"] == pytest.approx(1000 * (1 - right), abs=1e-3)
    assert with_cost["low"] < with_cost["value"] < with_cost["high"]


def test_the_cost_of_a_pair_counts_before_that_of_its_label_and_the_default() -> None:
    truth = np.array(["A", "A", "B", "A"], dtype=object)
    predicted = np.array(["B", "C", "C", "A"], dtype=object)
    costs = {
        "default": 2.0,
        "labels": {"A": 5.0},
        "pairs": [{"right": "A", "answered": "B", "cost": 3.0}],
    }
    assert answer_costs(truth, predicted, costs).tolist() == [3.0, 5.0, 2.0, 0.0]
    assert answer_costs(truth, predicted, {}).tolist() == [1.0, 1.0, 1.0, 0.0]


def test_energy_is_cpu_seconds_at_the_stated_watts() -> None:
    stages = {"train": {"cpu_seconds": 300.0}, "bias": {"cpu_seconds": 60.0}}
    assert energy(stages) == {"cpu_seconds": 360.0, "watt_hours": 1.0, "watts_per_core": 10.0}


def test_pages_that_were_changed_are_found(tmp_path: Path) -> None:
    folder = tmp_path / "cards" / "organ" / "3"
    save_cards(folder, cards(facts()))
    assert changed_pages(folder) == [] and len(stored_cards(tmp_path, "organ", "3")) == 2
    (folder / "data.md").write_text("another page", encoding="utf-8")
    (folder / "model.html").unlink()
    assert sorted(changed_pages(folder)) == ["data.md", "model.html"]
    assert stored_cards(tmp_path, "organ", "4") == {}
    assert stored_page(tmp_path, "..", "3", "model") is None
    assert stored_page(tmp_path, "organ", "3", "../card") is None


def test_a_name_with_slashes_is_one_step_of_a_query() -> None:
    known = {"labels": {"a/b~c": [1, {"d": 2}]}}
    assert ask(f"labels/{step('a/b~c')}/1/d", known) == 2
    assert ask("labels/x/1", known) is None and ask("labels/a/b", known) is None


def test_a_description_keeps_its_beginning_and_as_many_sections_as_fit() -> None:
    card = as_markdown(model_card(facts()))
    described = with_card("promote: better\n\nwho decides", card)
    assert described.startswith("promote: better\n\nwho decides\n\n# Model card: organ")
    assert len(described) < 5000
    assert with_card(described, card) == described
    long = card + "".join(f"\n## Section {number}\n\n{'word ' * 100}\n" for number in range(20))
    shortened = with_card("", long)
    assert len(shortened) < 5000 < len(long) and LONGEST_DESCRIPTION < 5000
    assert shortened.endswith("The rest is in the artifact cards/model.md of the run.")
