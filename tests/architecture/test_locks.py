"""One lock: every profile is a part of it, resolves for every Python, and serving stays small."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.locks import EVERYTHING, PROFILES, PYTHONS, installs, read_lock, unmet

WORKSHOP = {"prefect", "dvc", "great-expectations", "evidently", "mlflow"}
HEAVY = {"tensorflow", "scikit-learn", "pandas", "pyarrow", "matplotlib", "joblib", "dask"}
EXTRAS = {"requirements": "dev"} | {path.stem: path.stem for path in PROFILES}


def test_the_profiles_are_these() -> None:
    assert [path.stem for path in PROFILES] == [
        "serving",
        "serving-tensorflow",
        "training",
        "training-gpu",
    ]


@pytest.mark.parametrize("profile", PROFILES, ids=lambda path: path.stem)
def test_a_profile_has_the_pins_of_the_one_lock(profile: Path) -> None:
    everything = {(pin.name, pin.version): pin.hashes for pin in read_lock(EVERYTHING)}
    other = {
        pin.name
        for pin in read_lock(profile)
        if everything.get((pin.name, pin.version)) != pin.hashes
    }
    cuda = (
        {name for name in other if name.startswith("nvidia-")}
        if profile.stem == "training-gpu"
        else set()
    )
    assert other - cuda == set()


@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize("lock", [EVERYTHING, *PROFILES], ids=lambda path: path.stem)
def test_a_lock_resolves(lock: Path, python: str) -> None:
    """Every requirement, transitively, has a pin that meets it; checked without network."""
    assert unmet(EXTRAS[lock.stem], pinned=installs(read_lock(lock), python), python=python) == []


def test_serving_has_none_of_the_workshop() -> None:
    for name in ("serving", "serving-tensorflow"):
        pinned = {
            pin.name for pin in read_lock(EVERYTHING.parent / "requirements" / f"{name}.lock")
        }
        assert pinned & WORKSHOP == set()


def test_serving_is_small() -> None:
    pinned = {pin.name for pin in read_lock(EVERYTHING.parent / "requirements" / "serving.lock")}
    assert pinned & HEAVY == set()
    assert len(pinned) < 100


def test_training_has_no_services() -> None:
    pinned = {pin.name for pin in read_lock(EVERYTHING.parent / "requirements" / "training.lock")}
    assert pinned & {"prefect", "bentoml", "evidently", "supervisor"} == set()


def test_a_missing_pin_is_found() -> None:
    pinned = installs(read_lock(EVERYTHING), "3.12")
    del pinned["starlette"]
    pinned["numpy"] = "1.0"
    missing = unmet("serving", pinned=pinned, python="3.12")
    assert {line.split(">")[0].split("<")[0] for line in missing} >= {"numpy", "starlette"}
