from __future__ import annotations

import json
from pathlib import Path

import pytest

from core.params.schema import Params
from pipelines.stages import resolve

RAW = {
    "seed": 3,
    "classifiers": {
        "organ": {"source": {"query": "queries/notes.sql", "label": "organ"}},
        "course": {
            "source": {"query": "queries/notes.sql", "label": "course"},
            "min_rows_per_label": 5,
            "head": {"kind": "logistic"},
        },
        "strict": {
            "source": {"query": "queries/notes.sql", "label": "organ"},
            "min_rows_per_label": 9,
            "test_days": 30,
        },
    },
}


def specs(**changes: object) -> dict[str, dict]:
    return resolve.specs(Params.model_validate(RAW | changes))


def test_defaults_are_written_out() -> None:
    assert specs()["course/split.json"] == {
        "dataset": "notes",
        "label": "course",
        "history_days": 1095,
        "test_days": 90,
        "min_rows_per_label": 5,
        "seed": 3,
    }
    assert specs()["course/costs.json"] == {"default": 1.0, "labels": {}, "pairs": []}
    assert specs()["course/head.json"] == {"kind": "logistic", "C": 30.0, "seed": 3}
    assert specs()["embedder.json"] == {
        "handle": "universal-sentence-encoder-multilingual-3",
        "runtime": "litert",
    }


def test_heads_to_compare_are_named_once_by_their_differences_without_the_chosen_one() -> None:
    compared = [
        "logistic",
        {"kind": "logistic", "C": 3},
        "hybrid_svm",
        {"kind": "hybrid_svm", "C": 1.0},
        {"kind": "mlp", "hidden": 8, "epochs": 2},
    ]
    organ = RAW["classifiers"]["organ"] | {"compare": compared}  # type: ignore[index]
    spec = specs(classifiers={"organ": organ})["organ/compare.json"]
    assert (spec["chosen"], list(spec["heads"])) == (
        "hybrid_svm",
        ["logistic", "logistic C=3.0", "mlp hidden=8 epochs=2"],
    )
    assert spec["heads"]["logistic C=3.0"] == {"kind": "logistic", "C": 3.0}
    assert specs()["course/compare.json"] == {"chosen": "logistic", "heads": {}, "seed": 3}


def test_a_label_column_is_checked_by_the_least_demanding_classifier() -> None:
    assert specs()["checks.json"]["datasets"] == {
        "notes": {"label_columns": {"organ": 9, "course": 5}}
    }


@pytest.mark.parametrize(
    ("changes", "touched"),
    [
        ({"head": {"kind": "majority"}}, {"organ/head.json", "organ/compare.json"}),
        ({"compare": ["mlp"]}, {"organ/compare.json"}),
        ({"test_days": 60}, {"organ/split.json"}),
        ({"gate": {"min_weighted_f1": 0.9}}, set()),
        ({"drift": {"window_rows": 500}}, set()),
        ({"bias": {"evaluation": 0.1}}, {"organ/bias.json"}),
        ({"min_rows_per_label": 2}, {"organ/split.json", "checks.json"}),
        ({"costs": {"labels": {"heart": 5.0}}}, {"organ/costs.json"}),
    ],
)
def test_one_key_touches_only_its_own_file(changes: dict, touched: set[str]) -> None:
    organ = RAW["classifiers"]["organ"] | changes  # type: ignore[index]
    after = specs(classifiers=RAW["classifiers"] | {"organ": organ})  # type: ignore[operator]
    assert {path for path, content in specs().items() if after[path] != content} == touched


def test_the_stage_writes_every_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("params.yaml").write_text(json.dumps(RAW))
    resolve.run()
    written = {
        str(path.relative_to("build/spec")): json.loads(path.read_text())
        for path in Path("build/spec").rglob("*.json")
    }
    assert written == specs()
