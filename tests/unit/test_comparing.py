"""What a retraining asks the gate: the start of the drift, and which version may be promoted."""

from __future__ import annotations

from contextlib import nullcontext
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import pytest

from core.contracts import ModelVersion, Verdict
from core.params.heads import MajorityHead
from core.params.schema import Params
from flows import rollout
from flows.candidates.comparing import champion_head
from flows.candidates.promoting import respect_newer_champion
from monitoring.retraining import drift_start
from monitoring.windows.reports import run_start
from pipelines.gate.recipe import Recipe, changed_recipe
from pipelines.model.digests import write_judged_digest

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
def test_evidence_of_an_earlier_release_has_the_windows_of_its_watch(
    windows: list[dict[str, object]], day: int | None
) -> None:
    began = drift_start({"windows": windows})
    assert began == (datetime(2026, 2, day, tzinfo=UTC) if day else None)


@pytest.mark.parametrize(
    ("earlier", "day"),
    [
        ([], 9),
        ([(1, "mix"), (5, "mix")], 1),
        ([(1, "mix"), (3,), (5, "mix", "novelty")], 5),
        ([(1, "mix"), (5, "confidence")], 9),
    ],
)
def test_a_run_goes_back_while_an_alarm_of_the_window_is_shared(
    earlier: list[tuple[int, *tuple[str, ...]]], day: int
) -> None:
    windows = [(datetime(2026, 2, first, tzinfo=UTC), alarms) for first, *alarms in earlier]
    start = run_start(datetime(2026, 2, 9, tzinfo=UTC), ("mix",), windows)
    assert start == datetime(2026, 2, day, tzinfo=UTC)


def test_evidence_names_the_beginning_of_its_drift() -> None:
    evidence = {"began": "2026-02-03T01:00:00+00:00", "windows": [window(9, "mix")]}
    assert drift_start(evidence) == datetime(2026, 2, 3, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("kind", "champion", "final"),
    [
        ("promote", "2", "promote"),
        ("promote", "3", "wait"),
        ("hold", "3", "wait"),
        ("keep", "3", "keep"),
    ],
)
def test_a_version_that_may_answer_was_compared_with_the_champion_of_today(
    kind: str, champion: str, final: str
) -> None:
    candidate = ModelVersion("topic", "4", "models/topic/4", "sha256:0", "words-1")
    verdict = Verdict(kind, ("why",), {"champion_version": "2"})
    assert respect_newer_champion(verdict, candidate, champion=champion).kind == final


def test_the_page_says_which_head_of_the_champion_was_compared(tmp_path: Path) -> None:
    folder = tmp_path / "topic" / "1"
    folder.mkdir(parents=True)
    champion = ModelVersion("topic", "1", str(folder), "sha256:0", "words-1")
    assert champion_head(champion, None).startswith("its only head: the version was made before")
    refit = Recipe(MajorityHead(kind="majority"), seed=7)
    assert champion_head(champion, refit).startswith("its recipe, fitted again on this split")
    write_judged_digest(folder, "sha256:1")
    assert champion_head(champion, None).startswith("judged: it has not seen the test rows")


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
