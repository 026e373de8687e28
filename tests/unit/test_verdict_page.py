"""The page of a candidate in the Prefect UI."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core.contracts import ModelVersion, Verdict
from core.params.gate import GateParams
from flows.pages.verdict import measured_gain, render_verdict
from pipelines.gate.decide import decide
from tests.support.gates import gate_rows

CANDIDATE = ModelVersion("diagnosis_chapter", "4", "/models/4", "sha256:4", "tiny-1")
PNG = b"\x89PNG\r\n\x1a\n plot of "
LINKS = {"in MLflow": "http://127.0.0.1:5000/#/models/x/versions/4", "checks": "/reports/r.html"}


@pytest.fixture
def plots(tmp_path: Path) -> Path:
    for name in ("reliability.png", "confusions.png", "other.png"):
        (tmp_path / name).write_bytes(PNG + name.encode())
    return tmp_path


def page_of(folder: Path, verdict: Verdict, **options: Any) -> str:
    return render_verdict(folder, CANDIDATE, verdict, reason="drift", links=LINKS, **options)


def test_it_says_what_was_decided_and_why(plots: Path) -> None:
    verdict = Verdict(
        "reject",
        ("macro F1 fell by 0.03", "recall of J00 fell"),
        {"macro_f1": 0.88, "champion_macro_f1": 0.91},
    )
    page = page_of(plots, verdict)
    lines = page.splitlines()
    assert lines[0] == "# diagnosis_chapter version 4: reject"
    assert {
        "The candidate harms. The champion stays.",
        "- macro F1 fell by 0.03",
        "- recall of J00 fell",
        "| macro f1 | 0.88 |",
        "| champion macro f1 | 0.91 |",
    } <= set(lines)
    assert "Reason: **drift**" in page


def test_it_says_what_self_training_was_worth(plots: Path) -> None:
    lines = ["on", "+1.21 points of accuracy (+0.07 to +2.35) on 1,000 test rows"]
    page = page_of(plots, Verdict("promote", (), {"self_training": lines, "rows": 9}))
    assert f"Self-training: on; {lines[1]}." in page.splitlines()
    assert page.count(lines[1]) == 1
    assert "Self-training" not in page_of(plots, Verdict("promote"))


def test_addresses_are_links_and_paths_are_shown(plots: Path) -> None:
    page = page_of(plots, Verdict("promote"))
    assert f"[in MLflow]({LINKS['in MLflow']}) · checks: `/reports/r.html`" in page


def test_it_carries_the_plots_that_exist(plots: Path) -> None:
    images = dict(
        line.removeprefix("![").split("](data:image/png;base64,")
        for line in page_of(plots, Verdict("promote")).splitlines()
        if line.startswith("![")
    )
    decoded = {
        name: base64.b64decode(data.removesuffix(")"), validate=True)
        for name, data in images.items()
    }
    assert decoded == {
        "reliability": PNG + b"reliability.png",
        "confusions": PNG + b"confusions.png",
    }


def test_it_needs_no_plots(tmp_path: Path) -> None:
    assert "data:image" not in page_of(tmp_path / "none", Verdict("promote"))


def test_it_shows_the_heads_compared_when_some_were(plots: Path) -> None:
    heads = "## Heads\n\n| head |\n|---|\n| mlp |\n"
    page = page_of(plots, Verdict("promote", (), {"macro_f1": 0.88}), comparison=heads)
    assert "| macro f1 | 0.88 |\n\n## Heads\n\n| head |\n|---|\n| mlp |\n\n![reliability]" in page


def test_a_gain_is_reported_in_words() -> None:
    evidence = {"gain": 0.0018, "rows": 6645, "gain_lower_bound": -0.0003, "allowed_drop": 0.005}
    assert measured_gain(evidence) == (
        "**+0.0018 weighted F1 on 6,645 test rows, at least -0.0003; "
        "a drop of 0.0050 would be tolerated.**"
    )
    assert measured_gain({"rows": 6645}) == ""


def test_both_versions_stand_beside_each_other_on_the_same_rows_and_slices(tmp_path: Path) -> None:
    """The north has 3 of 4 rows right by the candidate, and 2 of 4 by the champion."""
    truth = np.array(["a", "b"] * 4)
    candidate = np.array(["a", "b", "a", "a", "a", "b", "a", "b"])
    champion = np.array(["a", "a", "a", "a", "a", "b", "a", "b"])
    rows = gate_rows(truth, [f"p{at}" for at in range(8)], candidate, champion, floor="a")
    rows.slices["region north"] = np.arange(8) < 4
    verdict = decide(rows, GateParams(min_weighted_f1=0.1), seed=7)
    page = page_of(tmp_path, verdict)
    assert "| accuracy, region north | 4 | 0.7500 | 0.5000 | +0.2500 |" in page
    scores = verdict.evidence
    assert (
        f"| weighted F1, all test rows | 8 | {scores['candidate_weighted_f1']:.4f} "
        f"| {scores['champion_weighted_f1']:.4f} |" in page
    )
    assert "a drop of 0.0050 would be tolerated" in page


def test_it_says_which_window_of_history_was_chosen(plots: Path) -> None:
    verdict = Verdict("keep", ("not worse",), {})
    sentence = "History window: 730 days of history, the last choice: the budget was exhausted."
    assert sentence in page_of(plots, verdict, history=sentence)
    assert "History window" not in page_of(plots, verdict)
