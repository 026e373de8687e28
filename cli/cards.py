"""`perennial cards`: the model card and the data card of a version."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from cli.context import command_context
from cli.help import WholeLines
from cli.output import FAILED, Json, output

if TYPE_CHECKING:
    from flows.cards import CheckedCard
    from flows.context import LoopContext

Classifier = Annotated[str, typer.Argument(help="A classifier that has a champion.")]
Classifiers = Annotated[
    list[str] | None, typer.Argument(help="Classifiers. By default, all that have a champion.")
]
Version = Annotated[str, typer.Option(help="A version. By default, the champion.")]
Markdown = Annotated[bool, typer.Option("--markdown", help="Print Markdown with its tables.")]
COLUMNS = ("classifier", "version", "section", "query", "was", "is")


def register(app: typer.Typer) -> None:
    """Add `cards show`, `cards check` and `cards write`."""
    group = typer.Typer(
        cls=WholeLines,
        help="The model card and the data card of a version.",
        no_args_is_help=True,
        rich_markup_mode=None,
    )
    group.command("show", epilog="Example: perennial cards show block --markdown")(show)
    group.command("check", epilog="Example: perennial cards check block --version 3")(check)
    group.command("write", epilog="Example: perennial cards write block --version 1")(write)
    app.add_typer(group, name="cards")


def show(
    classifier: Classifier, version: Version = "", markdown: Markdown = False, json: Json = False
) -> None:
    """Print both cards of a version, and where their pages are."""
    with command_context() as context:
        from flows.cards import cards_of
        from pipelines.cards.files import card_folder
        from pipelines.cards.pages import as_markdown, as_text

        number = version or _champion(context, classifier)
        cards = cards_of(context, classifier, number)
        folder = card_folder(context.settings.reports, classifier, number)
    render = as_markdown if markdown else as_text
    output().result(
        {"cards": cards, "folder": str(folder)}, [render(card) for card in cards.values()]
    )
    if not output().json:
        output().say(f"pages: {folder}")


def check(classifiers: Classifiers = None, version: Version = "", json: Json = False) -> None:
    """Ask every query of the cards again. Exit code 1 when a figure is no longer true."""
    if version and len(classifiers or ()) != 1:
        raise typer.BadParameter("--version takes one classifier")
    with command_context() as context:
        from flows.cards import check_cards, has_cards

        champions = context.champions()
        names = classifiers or [name for name in context.params.classifiers if name in champions]
        numbers = {name: version or _champion(context, name) for name in names}
        absent = {
            name: number
            for name, number in numbers.items()
            if not (classifiers or has_cards(context, name, number))
        }
        checked = [
            check_cards(context, name, number)
            for name, number in numbers.items()
            if name not in absent
        ]
    out = output()
    for name, number in absent.items():
        out.say(f"{name} version {number}: no card was written")
    value = {"checked": checked, "true": all(card.is_true for card in checked)}
    rows = [row for card in checked for row in _rows(card)]
    if rows or out.json:
        out.table(value, columns=COLUMNS, rows=rows)
    if not out.json:
        out.say("; ".join(map(_sentence, checked)) or "no champion has cards yet")
    if not value["true"]:
        raise typer.Exit(FAILED)


def write(classifier: Classifier, version: Version = "", json: Json = False) -> None:
    """Write the cards of a version again, also of one that an earlier release made."""
    with command_context() as context:
        from flows.cards import write_cards_of

        number = version or _champion(context, classifier)
        with output().working(f"writing the cards of {classifier} version {number}"):
            folder = write_cards_of(context, classifier, number)
    text = f"{classifier} version {number}: {folder}"
    output().result({"classifier": classifier, "version": number, "folder": str(folder)}, text)


def _champion(context: LoopContext, classifier: str) -> str:
    from core.errors import UnknownVersion

    context.params.classifier(classifier)
    champion = context.champions().get(classifier)
    if champion is None:
        raise UnknownVersion(
            f"a champion of {classifier}", came="none", do="retrain, or name a --version"
        )
    return champion.version


def _rows(card: CheckedCard) -> list[tuple[str, ...]]:
    place = (card.classifier, card.version)
    figures: list[tuple[str, ...]] = [
        (*place, change.section, change.query, change.was, change.is_now) for change in card.changes
    ]
    pages = [(*place, "page", name, "as written", "changed") for name in card.pages]
    return [*figures, *pages]


def _sentence(card: CheckedCard) -> str:
    wrong = len(card.changes) + len(card.pages)
    state = "all true" if card.is_true else f"{wrong} no longer true"
    return f"{card.classifier} version {card.version}: {card.figures} figures, {state}"
