"""Where the cards of a version lie: as JSON, Markdown and HTML."""

from __future__ import annotations

import hashlib
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
PAGES = "pages"
"""Key of card.json: page -> its digest."""


def card_folder(reports: Path, classifier: str, version: str) -> Path:
    """Return the folder of a version's cards."""
    return reports / "cards" / classifier / version


def save_cards(folder: Path, cards: Mapping[str, Card]) -> None:
    """Write card.json and the pages of each card, and remove what lay there.

    card.json has the digests of the pages: a release that renders otherwise changes no page.
    """
    shutil.rmtree(folder, ignore_errors=True)
    pages = pages_of(cards)
    for name, page in pages.items():
        with replacing(folder / name) as part:
            part.write_text(page, encoding="utf-8")
    content = {name: as_json(card) for name, card in cards.items()}
    digests = {name: _digest(page.encode()) for name, page in pages.items()}
    write_json(folder / CARD_FILE, {**content, PAGES: digests})


def _digest(page: bytes) -> str:
    return hashlib.sha256(page).hexdigest()


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


def changed_pages(folder: Path) -> list[str]:
    """Return the names of the pages that are not as they were written."""
    content = json.loads((folder / CARD_FILE).read_text(encoding="utf-8"))
    return [
        name
        for name, digest in content[PAGES].items()
        if not (folder / name).is_file() or _digest((folder / name).read_bytes()) != digest
    ]
