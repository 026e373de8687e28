"""Writes the cards of a version, logs them, and asks their queries again."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from core.contracts import ModelVersion
from core.errors import UnknownVersion
from flows.candidates.card_facts import read_facts
from flows.context import LoopContext
from pipelines.cards.card import Card, Change, changes
from pipelines.cards.data_card import data_card
from pipelines.cards.files import card_folder, changed_pages, save_cards, stored_cards
from pipelines.cards.model_card import model_card
from pipelines.cards.pages import as_markdown

CARDS = "cards"
"""Artifact folder of a run: the cards of its version."""
CARD_BEGINS = "\n\n# "
LONGEST_DESCRIPTION = 4_900
MORE = "\n\nThe rest is in the artifact cards/model.md of the run."


@dataclass(frozen=True)
class CheckedCard:
    """What is no longer true of a version's cards; `pages` are not as they were written."""

    classifier: str
    version: str
    figures: int
    changes: list[Change]
    pages: list[str]

    @property
    def is_true(self) -> bool:
        """Return whether every figure and page is what it was."""
        return not self.changes and not self.pages


def write_cards(context: LoopContext, candidate: ModelVersion) -> Path:
    """Write both cards of a registered version; returns their folder.

    They become artifacts of the version's run, and the model card the description of the version.
    """
    return write_cards_of(context, candidate.classifier, candidate.version)


def write_cards_of(context: LoopContext, classifier: str, version: str) -> Path:
    """Write the cards of a version by its number. Raises `UnknownVersion`."""
    registered = context.registry.version(classifier, version)
    facts = read_facts(context, registered)
    cards = {"model": model_card(facts), "data": data_card(facts)}
    folder = card_folder(context.settings.reports, classifier, version)
    save_cards(folder, cards)
    context.registry.log_folder(registered.run_id, folder, CARDS)
    before = context.registry.description(classifier, version)
    described = with_card(before, as_markdown(cards["model"]))
    context.registry.describe(classifier, version, described)
    return folder


def with_card(description: str, card: str) -> str:
    """Return a version's description with the model card below, in place of an earlier one.

    MLflow has room for 5,000 characters: of a longer card, whole sections are left out.
    """
    beginning = description.partition(CARD_BEGINS)[0]
    text = f"{beginning}{CARD_BEGINS}{card.removeprefix('# ')}"
    if len(text) <= LONGEST_DESCRIPTION:
        return text
    return text[:LONGEST_DESCRIPTION].rpartition("\n\n## ")[0] + MORE


def has_cards(context: LoopContext, classifier: str, version: str) -> bool:
    """Return whether cards of a version were written in this home."""
    return bool(stored_cards(context.settings.reports, classifier, version))


def cards_of(context: LoopContext, classifier: str, version: str) -> dict[str, Card]:
    """Return the cards of a version. Raises `UnknownVersion` when none was written."""
    context.registry.version(classifier, version)
    cards = stored_cards(context.settings.reports, classifier, version)
    if not cards:
        raise UnknownVersion(
            f"the cards of {classifier} version {version}",
            came="none: no card was written in this home",
            do=f"write them: `perennial cards write {classifier} {version}`",
        )
    return cards


def check_cards(context: LoopContext, classifier: str, version: str) -> CheckedCard:
    """Ask every query of a version's cards again."""
    cards = cards_of(context, classifier, version)
    facts = read_facts(context, context.registry.version(classifier, version))
    figures = [
        figure
        for card in cards.values()
        for _, sentence in card.every_sentence()
        for figure in sentence.figures
    ]
    changed = [change for card in cards.values() for change in changes(card, facts)]
    folder = card_folder(context.settings.reports, classifier, version)
    return CheckedCard(classifier, version, len(figures), changed, changed_pages(folder))
