"""`perennial explain`: which words made an answer likely."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from cli.output import Json, output

if TYPE_CHECKING:
    from core.pins import Pin
    from pipelines.model.explanation import Explanation

BAR = 20
"""Characters of the longest bar."""


def register(app: typer.Typer) -> None:
    """Add `explain`."""
    app.command(epilog="Example: perennial explain block 'fx of left wrist'")(explain)


def explain(
    classifier: Annotated[str, typer.Argument(help="A classifier that has a champion.")],
    phrase: Annotated[str, typer.Argument(help="The phrase whose answer is explained.")],
    json: Json = False,
) -> None:
    """Show what each word of a phrase added to the champion's answer and to its runner-up.

    The shares are in logits: an answer that leads by 2.3 is ten times as likely as its runner-up.
    """
    from core.settings import load_settings
    from flows.answering import open_champion
    from pipelines.model.explanation import explain as explain_phrase
    from pipelines.phrase_files import checked_phrases

    out = output()
    [checked] = checked_phrases([phrase])
    with out.working(f"loading the champion of {classifier}"):
        champion = open_champion(load_settings(), classifier)
    explanation = explain_phrase(champion.classifier, checked)
    pin = champion.pin_of(checked)
    out.result(
        {"version": champion.version, "explanation": explanation, "pin": pin},
        [*_page(champion.version, explanation), *_pinned(pin, explanation)],
    )


def _pinned(pin: Pin | None, explanation: Explanation) -> Iterator[str]:
    if pin is not None and pin.label != explanation.label:
        yield f"Clients get {pin.label}: {pin.author} pinned the phrase ({pin.why})."


def _page(version: str, explanation: Explanation) -> Iterator[str]:
    yield f"{explanation.label} with probability {explanation.probability:.3f}, version {version}"
    if explanation.known:
        yield "The phrase itself was labelled before, and those labels count beside the words."
    if explanation.rule:
        yield f"The rule {explanation.rule} matches it."
    if explanation.head_label != explanation.label:
        yield f"By its words alone it would be {explanation.head_label}, which is explained here."
    yield f"Lead over {explanation.runner_up}, by word:"
    longest = max((abs(word.margin) for word in explanation.words), default=0.0) or 1.0
    width = max(len(word.word) for word in explanation.words)
    for word in explanation.words:
        bar = ("+" if word.margin > 0 else "-") * round(BAR * abs(word.margin) / longest)
        yield f"  {word.word:<{width}}  {word.margin:+7.2f}  {bar}"
    base = explanation.base[0] - explanation.base[1]
    yield f"  {'(no word)':<{width}}  {base:+7.2f}"
