from __future__ import annotations

from pathlib import Path

import pytest

from console.access.sessions import signing_secret
from core.errors import SettingsError
from core.settings import load_settings
from flows.context import DEMO_MARK
from operations.demo.home import clear_home


def test_the_demo_refuses_a_home_with_models_of_yours(tmp_path: Path) -> None:
    (tmp_path / "models" / "intent").mkdir(parents=True)
    with pytest.raises(SettingsError, match="in use"):
        clear_home(load_settings(home=tmp_path, database_url=None, source_url=None))
    assert (tmp_path / "models" / "intent").exists()


@pytest.mark.parametrize("name", ["database_url", "source_url"])
def test_the_demo_refuses_databases_of_yours(tmp_path: Path, name: str) -> None:
    with pytest.raises(SettingsError, match="unset both"):
        clear_home(load_settings(home=tmp_path, **{name: "postgresql://somewhere/else"}))


def test_the_demo_clears_what_a_demo_left_or_what_holds_no_model(tmp_path: Path) -> None:
    settings = load_settings(home=tmp_path / "home", database_url=None, source_url=None)
    for name in ("supervisor", "journal", "journal-2", "caches-11", "phrases"):
        (settings.home / name).mkdir(parents=True)
    signing_secret(settings.home)
    clear_home(settings)
    assert [entry.name for entry in settings.home.iterdir()] == [DEMO_MARK]
    (settings.models / "block").mkdir(parents=True)
    clear_home(settings)
    assert not settings.models.exists()


@pytest.mark.parametrize("marked", [True, False])
def test_the_demo_clears_no_file_that_is_not_of_our_making(tmp_path: Path, marked: bool) -> None:
    for name in ["applications.db", *([DEMO_MARK] if marked else [])]:
        (tmp_path / name).write_text("mine")
    with pytest.raises(SettingsError, match=r"got applications\.db; move"):
        clear_home(load_settings(home=tmp_path, database_url=None, source_url=None))
    assert (tmp_path / "applications.db").read_text() == "mine"
