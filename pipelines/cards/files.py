"""Where the cards of a version lie: as JSON, Markdown and HTML."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path

from core.contracts import is_plain_name
from core.files import replacing, write_json
from pipelines.cards.card import Card, as_json, from_json
from pipelines.cards.pages import as_html, as_markdown

CARD_FILE = "card.json"
NAMES = ("model", "data")


def card_folder(reports: Path, classifier: str, version: str) -> Path:
    """Return the folder of a version's cards."""
    return reports / "cards" / classifier / version


def save_cards(folder: Path, cards: Mapping[str, Card]) -> None:
    """Write card.json and the pages of each card, and remove what lay there."""
    shutil.rmtree(folder, ignore_errors=True)
    for name, page in pages_of(cards).items():
        folder.mkdir(parents=True, exist_ok=True)
        with replacing(folder / name) as part:
            part.write_text(page, encoding="utf-8")
    write_json(folder / CARD_FILE, {name: as_json(card) for name, card in cards.items()})


def pages_of(cards: Mapping[str, Card]) -> dict[str, str]:
    """Return file name -> page."""
    pages = {}
    for name, card in cards.items():
        pages[f"{name}.md"] = as_markdown(card)
        pages[f"{name}.html"] = as_html(card)
    return pages


def stored_cards(reports: Path, classifier: str, version: str) -> dict[str, Card]:
    """Return the cards of a version by name; empty when none was written."""
    if not (is_plain_name(classifier) and is_plain_name(version)):
        return {}
    file = card_folder(reports, classifier, version) / CARD_FILE
    if not file.is_file():
        return {}
    content = json.loads(file.read_text(encoding="utf-8"))
    return {name: from_json(content[name]) for name in NAMES if name in content}


def stored_page(reports: Path, classifier: str, version: str, name: str) -> Path | None:
    """Return the HTML page of a card, None when it was not written."""
    if name not in NAMES or not (is_plain_name(classifier) and is_plain_name(version)):
        return None
    page = card_folder(reports, classifier, version) / f"{name}.html"
    return page if page.is_file() else None


def changed_pages(folder: Path, cards: Mapping[str, Card]) -> list[str]:
    """Return the names of the pages that are not what card.json says."""
    return [
        name
        for name, page in pages_of(cards).items()
        if not (folder / name).is_file() or (folder / name).read_text(encoding="utf-8") != page
    ]
