"""`make notebooks` publishes every notebook on the small demo, for reading without a network."""

from __future__ import annotations

import re

import pytest

from core.settings import REPOSITORY
from tests.support.installations import Place
from tests.support.repositories import link_programs

NAMES = sorted(path.stem for path in (REPOSITORY / "notebooks" / "final").glob("*.py"))
LOADED = re.compile(r"""<(?:script|img|link|iframe)\b[^>]*(?:src|href)=["'](?!data:)([^"']+)""")


@pytest.fixture(scope="module")
def pages(place: Place, played: dict) -> dict[str, str]:
    link_programs(place.clone)
    place.run("make", "notebooks", timeout=600)
    folder = place.clone / "build" / "notebooks"
    return {path.stem: path.read_text(encoding="utf-8") for path in folder.glob("*.html")}


def test_every_notebook_is_published(pages: dict[str, str]) -> None:
    assert sorted(pages) == NAMES
    for name, page in pages.items():
        assert f'<h1 id="{name.capitalize()}">' in page
        assert "Traceback" not in page


def test_the_pages_load_nothing(pages: dict[str, str]) -> None:
    assert [LOADED.findall(page) for page in pages.values()] == [[]] * len(NAMES)


def test_the_pages_show_the_champion_and_the_drift(pages: dict[str, str], played: dict) -> None:
    assert "retrain-" in pages["preparation"]
    assert "fx of left wrist" in pages["modelling"]
    assert ">drift</td>" in pages["drift"]
