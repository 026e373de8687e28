"""`perennial classify`: label phrases with the champion, without a running service."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Annotated

import typer

from cli.output import Json, output
from core.contracts import Prediction

BATCH = 1024
Phrases = Annotated[
    list[str] | None,
    typer.Argument(metavar="[PHRASE]...", help="Phrases to classify. Alternatively, use --file."),
]
File = Annotated[
    Path | None,
    typer.Option(
        help="A CSV file with a header row, or a text file with one phrase per line.",
        exists=True,
        dir_okay=False,
    ),
]
Column = Annotated[
    str | None,
    typer.Option(
        help="The CSV column that contains the phrases. Without it, FILE is read as plain text."
    ),
]


Region = Annotated[
    str | None,
    typer.Option(help="The region whose line answers, for a question with one line per region."),
]


def register(app: typer.Typer) -> None:
    """Add `classify`."""
    app.command(epilog="Example: perennial classify block 'fx of left wrist' --json")(classify)


def classify(
    classifier: Annotated[str, typer.Argument(help="A classifier that has a champion.")],
    phrases: Phrases = None,
    file: File = None,
    column: Column = None,
    region: Region = None,
    json: Json = False,
) -> None:
    """Label phrases with the current champion and the pins.

    A phrase that no label fits is shown as "none of these", with the best guess beside it.
    With --json, prints one object per line, in the order of the input.
    """
    from core.settings import load_settings
    from flows.answering import answering_classifier, open_champion
    from pipelines.phrase_files import checked_phrases, read_phrases

    if bool(phrases) == bool(file):
        raise typer.BadParameter("give either phrases or --file", param_hint="PHRASE")
    if column and not file:
        raise typer.BadParameter("--column requires --file", param_hint="--column")
    out = output()
    if file:
        checked = checked_phrases(read_phrases(file, column))
    else:
        checked = iter(list(checked_phrases(phrases or [])))  # all are checked before any answer

    settings = load_settings()
    classifier = answering_classifier(settings, classifier, region)
    with out.working(f"loading the champion of {classifier}"):
        champion = open_champion(settings, classifier)
    for batch in _batches(checked):
        for phrase, (answer, pinned) in zip(batch, champion.answer(batch), strict=True):
            versioned = {"classifier": classifier, "version": champion.version}
            row = _row(phrase, answer, pinned=pinned)
            out.result(row | versioned, _line(phrase, answer, pinned=pinned))


def _row(phrase: str, answer: Prediction, *, pinned: bool) -> dict[str, object]:
    return {
        "phrase": phrase,
        "label": answer.label,
        "probability": round(answer.probability, 6),
        "pinned": pinned,
        "abstained": answer.abstained,
    }


def _line(phrase: str, answer: Prediction, *, pinned: bool) -> str:
    label = f"none of these ({answer.label})" if answer.abstained else answer.label
    sure = "pinned" if pinned else f"{answer.probability:.3f}"
    return f"{label}\t{sure}\t{phrase}"


def _batches(phrases: Iterator[str]) -> Iterator[list[str]]:
    while batch := list(islice(phrases, BATCH)):
        yield batch
