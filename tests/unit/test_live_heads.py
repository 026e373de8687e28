from __future__ import annotations

import shutil
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from bentos.heads.live_heads import LiveHeads, Refused
from bentos.heads.loading import LiveModel
from bentos.packaging.cold_heads import read_cold_heads, write_cold_heads
from core.contracts import RETIRED, Deployment, ModelVersion, Rollout
from core.errors import DatabaseUnreachable, HeadRefused
from pipelines.model.embedder_building import use_id
from pipelines.model.head_file import save_head
from tests.support.embedders import vector_of
from tests.support.heads import DIMENSIONS, EMBEDDER_ID, canary, make_head, shadow, store_head

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def heads_of(home: Path, *models: ModelVersion) -> LiveHeads:
    heads = LiveHeads(EMBEDDER_ID, home=home)
    follow(heads, *models)
    return heads


def follow(heads: LiveHeads, *models: ModelVersion) -> None:
    heads.refresh(
        lambda: {
            model.classifier: Rollout(Deployment(model, "champion", 1.0, NOW, "test"))
            for model in models
        }
    )


def live_versions(heads: LiveHeads) -> dict[str, str]:
    return {name: live.champion.model.version for name, live in heads.current.items()}


def test_the_champions_are_loaded_and_answer_as_the_stored_head(tmp_path: Path) -> None:
    heads = heads_of(
        tmp_path, store_head(tmp_path, "organ", "1"), store_head(tmp_path, "chapter", "7")
    )
    assert live_versions(heads) == {"organ": "1", "chapter": "7"}
    vectors = np.stack([vector_of("a")])
    [prediction] = heads.current["organ"].champion.classifier.predict_cleaned(["a"], vectors)
    assert prediction.probability == pytest.approx(
        make_head("1").probabilities(["a"], vectors).max()
    )


def test_a_swap_replaces_the_mapping_and_leaves_the_old_one_to_its_requests(tmp_path: Path) -> None:
    heads = heads_of(tmp_path, store_head(tmp_path, "organ", "1"))
    in_hand = heads.current
    follow(heads, store_head(tmp_path, "organ", "2"))
    assert (in_hand["organ"].champion.model.version, live_versions(heads)) == ("1", {"organ": "2"})


def test_a_version_is_loaded_once(tmp_path: Path) -> None:
    model = store_head(tmp_path, "organ", "1")
    heads = heads_of(tmp_path, model)
    loaded = heads.current["organ"]
    follow(heads, model)
    assert heads.current["organ"] is loaded
    assert heads.counts.swaps == 1


def corrupt_bytes(model: ModelVersion) -> ModelVersion:
    file = Path(model.head_location) / "head.npz"
    file.write_bytes(file.read_bytes()[:-20] + b"x" * 20)
    return model


def wrong_digest(model: ModelVersion) -> ModelVersion:
    return ModelVersion(
        model.classifier, model.version, model.head_location, "sha256:0", model.embedder_id
    )


def other_embedder(model: ModelVersion) -> ModelVersion:
    return ModelVersion(
        model.classifier, model.version, model.head_location, model.head_digest, "other"
    )


def gone(model: ModelVersion) -> ModelVersion:
    shutil.rmtree(model.head_location)
    return model


@pytest.mark.parametrize("spoil", [corrupt_bytes, wrong_digest, other_embedder, gone])
def test_a_bad_head_is_refused_once_and_the_last_good_one_stays(tmp_path: Path, spoil) -> None:
    heads = heads_of(tmp_path, store_head(tmp_path, "organ", "1"))
    bad = spoil(store_head(tmp_path, "organ", "2"))
    follow(heads, bad)
    follow(heads, bad)
    assert (live_versions(heads), heads.counts.refusals) == ({"organ": "1"}, 1)


def test_a_head_made_for_another_embedder_is_refused_whatever_its_row_says(tmp_path: Path) -> None:
    made = store_head(tmp_path, "organ", "2", embedder_id="other")
    heads = heads_of(
        tmp_path, ModelVersion("organ", "2", made.head_location, made.head_digest, EMBEDDER_ID)
    )
    assert live_versions(heads) == {}


def test_a_head_made_with_the_other_runtime_is_refused(tmp_path: Path) -> None:
    made = store_head(tmp_path, "organ", "1", embedder_id=use_id("tensorflow"))
    for runtime, answering in {"tensorflow": {"organ": "1"}, "litert": {}}.items():
        heads = LiveHeads(use_id(runtime), home=tmp_path / runtime)
        follow(heads, made)
        assert live_versions(heads) == answering


@pytest.mark.parametrize(
    "spoilt", [np.full((DIMENSIONS, 2), np.nan, np.float32), np.ones((7, 2), np.float32)]
)
def test_a_head_that_gives_no_probabilities_is_refused(tmp_path: Path, spoilt: np.ndarray) -> None:
    heads = heads_of(tmp_path, store_head(tmp_path, "organ", "1"))
    good = make_head("2")
    folder = tmp_path / "models" / "organ" / "2"
    digest = save_head(replace(good, arrays={**good.arrays, "weights": spoilt}), folder)
    follow(heads, ModelVersion("organ", "2", str(folder), digest, EMBEDDER_ID))
    assert (live_versions(heads), heads.counts.refusals) == ({"organ": "1"}, 1)


def test_a_refused_head_that_is_mended_is_taken(tmp_path: Path) -> None:
    model = corrupt_bytes(store_head(tmp_path, "organ", "2"))
    heads = heads_of(tmp_path, model)
    follow(heads, store_head(tmp_path, "organ", "2"))
    assert live_versions(heads) == {"organ": "2"}


def test_one_bad_head_does_not_hold_the_others(tmp_path: Path) -> None:
    heads = heads_of(
        tmp_path, gone(store_head(tmp_path, "organ", "1")), store_head(tmp_path, "chapter", "1")
    )
    assert live_versions(heads) == {"chapter": "1"}


def test_the_last_known_state_survives_an_outage(tmp_path: Path) -> None:
    heads = heads_of(tmp_path, store_head(tmp_path, "organ", "1"))

    def away() -> dict[str, Rollout]:
        raise DatabaseUnreachable("a database", came="none", do="start it")

    with pytest.raises(DatabaseUnreachable):
        heads.refresh(away)
    assert live_versions(heads) == {"organ": "1"}


def test_cold_heads_answer_until_the_deployment_says_otherwise(tmp_path: Path) -> None:
    packed = tmp_path / "cold"
    home = tmp_path / "home"
    stored = store_head(packed, "organ", "1")
    write_cold_heads(
        packed, [ModelVersion("organ", "1", "models/organ/1", stored.head_digest, EMBEDDER_ID)]
    )
    heads = LiveHeads(EMBEDDER_ID, home=home)
    heads.start_cold(packed)
    assert live_versions(heads) == {"organ": "1"}
    follow(heads, store_head(home, "organ", "2"))
    assert live_versions(heads) == {"organ": "2"}


def test_no_cold_heads_is_no_error(tmp_path: Path) -> None:
    assert read_cold_heads(tmp_path) == []


def roll_out(heads: LiveHeads, model: ModelVersion, **beside: Deployment) -> None:
    heads.refresh(
        lambda: {
            model.classifier: Rollout(Deployment(model, "champion", 1.0, NOW, "test"), **beside)
        }
    )


def refusals_of(heads: LiveHeads) -> list[Refused]:
    refusals: list[Refused] = []
    heads.report_refusals(refusals.extend)
    return refusals


def test_a_canary_and_a_shadow_stand_beside_the_champion_and_go_when_they_end(
    tmp_path: Path,
) -> None:
    first, second, third = (store_head(tmp_path, "organ", version) for version in "123")
    heads = heads_of(tmp_path, first)
    roll_out(heads, first, canary=canary(second, 0.2), shadow=shadow(third))
    live = heads.current["organ"]
    assert [(one.model.version, one.role) for one in live.models] == [
        ("1", "champion"),
        ("2", "canary"),
        ("3", "shadow"),
    ]
    assert live.share == 0.2
    roll_out(heads, first)
    assert [one.role for one in heads.current["organ"].models] == ["champion"]


def test_a_canary_that_is_promoted_is_not_loaded_again(tmp_path: Path) -> None:
    first, second = (store_head(tmp_path, "organ", version) for version in "12")
    heads = heads_of(tmp_path, first)
    roll_out(heads, first, canary=canary(second, 0.2))
    loaded = heads.current["organ"].canary
    assert loaded is not None
    follow(heads, second)
    now = heads.current["organ"]
    assert (now.champion.classifier is loaded.classifier, now.champion.role, now.canary) == (
        True,
        "champion",
        None,
    )


def test_a_version_does_not_stand_beside_itself(tmp_path: Path) -> None:
    model = store_head(tmp_path, "organ", "1")
    heads = heads_of(tmp_path)
    roll_out(heads, model, canary=canary(model, 0.5), shadow=shadow(model))
    assert [one.role for one in heads.current["organ"].models] == ["champion"]


def test_a_changed_share_changes_nothing_else(tmp_path: Path) -> None:
    first, second = (store_head(tmp_path, "organ", version) for version in "12")
    heads = heads_of(tmp_path)
    roll_out(heads, first, canary=canary(second, 0.2))
    before = heads.current["organ"]
    roll_out(heads, first, canary=canary(second, 0.6))
    now = heads.current["organ"]
    assert (now.share, now.canary is before.canary, heads.counts.swaps) == (0.6, True, 2)


def test_a_refused_canary_leaves_its_share_to_the_champion(tmp_path: Path) -> None:
    first = store_head(tmp_path, "organ", "1")
    bad = corrupt_bytes(store_head(tmp_path, "organ", "2"))
    heads = heads_of(tmp_path)
    roll_out(heads, first, canary=canary(bad, 0.5))
    live = heads.current["organ"]
    assert (live.champion.model.version, live.canary, live.share) == ("1", None, 0.0)


def constant(home: Path, version: str) -> ModelVersion:
    good = make_head(version)
    folder = home / "models" / "organ" / version
    digest = save_head(
        replace(good, arrays={**good.arrays, "weights": np.zeros_like(good.arrays["weights"])}),
        folder,
    )
    return ModelVersion("organ", version, str(folder), digest, EMBEDDER_ID)


def test_a_head_that_says_one_thing_never_answers(tmp_path: Path) -> None:
    heads = heads_of(tmp_path, store_head(tmp_path, "organ", "1"))
    follow(heads, constant(tmp_path, "2"))
    assert (live_versions(heads), "tells phrases apart" in refusals_of(heads)[0].reason) == (
        {"organ": "1"},
        True,
    )


def test_labels_may_come_and_go_but_most_must_stay(tmp_path: Path) -> None:
    four = ("heart", "lung", "liver", "skin")
    heads = heads_of(tmp_path, store_head(tmp_path, "organ", "1", labels=four))
    follow(heads, store_head(tmp_path, "organ", "2", labels=(*four[:2], "bone")))
    assert live_versions(heads) == {"organ": "2"}
    follow(heads, store_head(tmp_path, "organ", "3", labels=("north", "south", "heart")))
    assert (live_versions(heads), "at least half" in refusals_of(heads)[0].reason) == (
        {"organ": "2"},
        True,
    )


def test_a_version_refused_by_its_warm_up_does_not_answer_and_is_not_warmed_at_every_poll(
    tmp_path: Path,
) -> None:
    warmed: list[str] = []

    def prepare(live: LiveModel) -> None:
        warmed.append(live.model.version)
        if live.model.version == "2":
            raise HeadRefused("sense", came="none", do="train again")

    heads = heads_of(tmp_path, store_head(tmp_path, "organ", "1"))
    heads.prepare = prepare
    bad = store_head(tmp_path, "organ", "2")
    follow(heads, bad)
    follow(heads, bad)
    assert (live_versions(heads), warmed) == ({"organ": "1"}, ["2"])


def test_a_refusal_is_reported_once_and_again_until_it_is_recorded(tmp_path: Path) -> None:
    heads = heads_of(tmp_path, store_head(tmp_path, "organ", "1"))
    bad = corrupt_bytes(store_head(tmp_path, "organ", "2"))
    follow(heads, bad)

    def away(_: list[Refused]) -> None:
        raise DatabaseUnreachable("a database", came="none", do="start it")

    with pytest.raises(DatabaseUnreachable):
        heads.report_refusals(away)
    assert [(one.entry.model.version, one.entry.role) for one in refusals_of(heads)] == [
        ("2", "champion")
    ]
    follow(heads, bad)
    assert refusals_of(heads) == []


def test_a_retired_classifier_answers_no_more_and_one_without_rows_goes_on(tmp_path: Path) -> None:
    heads = heads_of(
        tmp_path, store_head(tmp_path, "organ", "1"), store_head(tmp_path, "chapter", "7")
    )
    heads.refresh(lambda: {"organ": RETIRED})
    assert live_versions(heads) == {"chapter": "7"}
    follow(heads, store_head(tmp_path, "organ", "1"))
    assert live_versions(heads) == {"organ": "1", "chapter": "7"}
