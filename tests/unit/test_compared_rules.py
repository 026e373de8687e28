"""Heads are compared like with like: the chosen one without its rules, too."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipelines.stages import compare
from tests.support.small_builds import KEY, build_small
from tests.support.training import WORDS

RULES = [{"pattern": "|".join(words), "label": label} for label, words in WORDS.items()]


def compared(built: Path) -> tuple[dict[str, dict[str, float]], str, dict[str, float]]:
    compare.run(KEY)
    heads = json.loads((built / "comparison" / "scores.json").read_text())["heads"]
    metrics = json.loads((built / "evaluation" / "metrics.json").read_text())
    return heads, (built / "comparison" / "table.md").read_text(), metrics


def test_a_head_with_rules_is_compared_without_them_and_shown_with_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    built = build_small(head={"kind": "majority"}, compare=["logistic"], rules=RULES)
    heads, table, metrics = compared(built)
    assert set(heads) == {"majority", "majority with rules", "logistic"}
    assert heads["majority with rules"]["weighted_f1"] == metrics["weighted_f1"]
    assert heads["majority"]["unseen_weighted_f1"] < metrics["unseen_weighted_f1"]
    assert "All are scored without rules" in table and "| majority with rules |" in table
    assert "| **majority** (chosen) |" in table
    logged = compare.logged_metrics(built / "comparison")
    assert logged["compare/majority with rules/weighted_f1"] == metrics["weighted_f1"]


def test_a_head_without_rules_has_one_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    heads, table, metrics = compared(build_small(compare=["majority"]))
    assert set(heads) == {"logistic", "majority"} and "without rules" not in table
    assert heads["logistic"]["weighted_f1"] == metrics["weighted_f1"]
