"""`perennial cards`: the model card and the data card of a version."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from cli.context import command_context
from cli.help import WholeLines
from cli.output import NEGATIVE_VERDICT, Json, output

if TYPE_CHECKING:
    from flows.candidates.cards import CheckedCard
    from flows.context import LoopContext

Classifier = Annotated[str, typer.Argument(help="A trained classifier.")]
CheckedClassifier = Annotated[
    str | None, typer.Argument(help="A trained classifier. By default, all champions.")
]
Version = Annotated[str | None, typer.Argument(help="A version. By default, the champion.")]
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
    group.command("check", epilog="Example: perennial cards check block 3")(check)
    group.command("write", epilog="Example: perennial cards write block 1")(write)
    app.add_typer(group, name="cards")


def show(
    classifier: Classifier, version: Version = None, markdown: Markdown = False, json: Json = False
) -> None:
    """Print both cards of a version, and where their pages are."""
    with command_context() as context:
        from flows.candidates.cards import cards_of
        from pipelines.cards.files import card_folder
        from pipelines.cards.pages import as_markdown, as_text

        number = version or context.champion_version(classifier)
        cards = cards_of(context, classifier, number)
        folder = card_folder(context.settings.reports, classifier, number)
    render = as_markdown if markdown else as_text
    output().result(
        {"cards": cards, "folder": str(folder)}, [render(card) for card in cards.values()]
    )
    if not output().json:
        output().say(f"pages: {folder}")


def check(
    classifier: CheckedClassifier = None, version: Version = None, json: Json = False
) -> None:
    """Ask every query of the cards again. Exit code 3 when a figure is no longer true."""
    with command_context() as context:
        from flows.candidates.cards import check_cards, has_cards

        if classifier:
            numbers = {classifier: version or context.champion_version(classifier)}
        else:
            numbers = _champions(context)
        written = {
            name: number
            for name, number in numbers.items()
            if classifier or has_cards(context, name, number)
        }
        checked = [check_cards(context, name, number) for name, number in written.items()]
    out = output()
    for name in sorted(numbers.keys() - written.keys()):
        out.say(f"{name} version {numbers[name]}: no card was written")
    value = {"checked": checked, "true": all(card.is_true for card in checked)}
    rows = [row for card in checked for row in _rows(card)]
    if rows or out.json:
        out.table(value, columns=COLUMNS, rows=rows)
    if not out.json:
        out.say("; ".join(map(_sentence, checked)) or "no champion has cards yet")
    if not value["true"]:
        raise typer.Exit(NEGATIVE_VERDICT)


def write(classifier: Classifier, version: Version = None, json: Json = False) -> None:
    """Write the cards of a version again, even of one made by an earlier release."""
    with command_context() as context:
        from flows.candidates.cards import write_cards_of

        number = version or context.champion_version(classifier)
        with output().working(f"writing the cards of {classifier} version {number}"):
            folder = write_cards_of(context, classifier, number)
    text = f"{classifier} version {number}: {folder}"
    output().result({"classifier": classifier, "version": number, "folder": str(folder)}, text)


def _champions(context: LoopContext) -> dict[str, str]:
    """Return classifier of params.yaml -> the version that answers, for those that have one."""
    champions = context.champions()
    names = [name for name in context.params.classifiers if name in champions]
    return {name: champions[name].version for name in names}


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
