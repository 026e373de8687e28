"""What a retraining asks the gate: the start of the drift, and which version may be promoted."""

from __future__ import annotations

from contextlib import nullcontext
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest

from core.params.schema import Params
from flows import rollout
from monitoring.retraining import alarm_start, drift_start
from pipelines.gate.recipe import changed_recipe

NOW = datetime(2026, 3, 1, tzinfo=UTC)


def window(day: int, *alarms: str) -> dict[str, object]:
    return {"start": f"2026-02-{day:02}T00:00:00+00:00", "alarms": list(alarms)}


@pytest.mark.parametrize(
    ("windows", "day"),
    [
        ([window(1), window(5, "mix"), window(9, "mix")], 5),
        ([window(1, "mix"), window(5), window(9, "mix")], 9),
        ([window(1, "mix"), window(5)], None),
        ([], None),
    ],
)
def test_a_drift_begins_with_its_first_uninterrupted_alarm(
    windows: list[dict[str, object]], day: int | None
) -> None:
    began = drift_start({"windows": windows})
    assert began == (datetime(2026, 2, day, tzinfo=UTC) if day else None)
    assert alarm_start({"windows": windows}) == began


def test_a_drift_that_labels_called_begins_when_the_answers_became_worse() -> None:
    evidence = {"label_test": {"labels": 40, "began": "2026-02-03T01:00:00+00:00"}}
    assert drift_start(evidence) == datetime(2026, 2, 3, 1, tzinfo=UTC)
    assert alarm_start(evidence) is None, "its inputs are as before"
    assert drift_start({"label_test": {"labels": 40}}) is None, "recorded by an older release"


@pytest.mark.parametrize(
    ("rejected", "chosen"), [(set(), "3"), ({"3"}, "2"), ({"1", "2", "3"}, "")]
)
def test_promote_without_a_version_takes_no_rejected_one(
    monkeypatch: pytest.MonkeyPatch, rejected: set[str], chosen: str
) -> None:
    monkeypatch.setattr(rollout, "retained_versions", lambda *_: ["1", "2", "3"])
    monkeypatch.setattr(rollout, "rejected_versions", lambda *_: rejected)
    loop = SimpleNamespace(engine=SimpleNamespace(connect=lambda: nullcontext()))
    assert rollout.newest_not_rejected(loop, "block") == chosen  # type: ignore[arg-type]


def params_of(*, seed: int = 7, test_days: int = 90, kind: str = "logistic") -> Params:
    block = {
        "source": {"query": "queries/notes.sql", "label": "organ"},
        "head": {"kind": kind},
        "test_days": test_days,
    }
    return Params.model_validate({"seed": seed, "classifiers": {"organ": block}})


@pytest.mark.parametrize(
    ("now", "refitted"),
    [
        (params_of(), False),
        (params_of(kind="majority"), False),
        (params_of(seed=8), True),
        (params_of(test_days=60), True),
    ],
)
def test_the_champions_recipe_is_fitted_again_where_other_phrases_test(
    now: Params, refitted: bool
) -> None:
    recipe = changed_recipe(params_of(), now, "organ")
    assert (recipe is not None) == refitted
    if recipe:
        assert (recipe.head.kind, recipe.seed) == ("logistic", 7)
