"""`perennial pins`: fix the label of a phrase, end a pin, and list all pins."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from cli.answers import FORMATS
from cli.context import command_context
from cli.help import WholeLines
from cli.output import Json, output

if TYPE_CHECKING:
    from flows.context import LoopContext
    from monitoring.labels.pin_list import ListedPin

COLUMNS = ("pin", "phrase", "label", "by", "since", "until", "answers", "contradicted", "why")

Classifier = Annotated[str, typer.Argument(help="A classifier of params.yaml.")]
Phrase = Annotated[str, typer.Argument(help="The phrase, in any case and spacing.")]
Label = Annotated[str, typer.Argument(help="A label of the champion.")]
Why = Annotated[str, typer.Option(help="The reason, recorded with the pin and your name.")]
Until = Annotated[
    datetime | None, typer.Option(formats=FORMATS, help="In UTC; without it, until it is removed.")
]
Past = Annotated[bool, typer.Option("--past", help="Include pins that no longer answer.")]


def register(app: typer.Typer) -> None:
    """Add `pins list`, `pins add` and `pins remove`."""
    group = typer.Typer(
        cls=WholeLines,
        help="Fix the label of single phrases.",
        no_args_is_help=True,
        rich_markup_mode=None,
    )
    group.command("list", epilog="Example: perennial pins list block")(list_all)
    group.command(
        "add",
        epilog="Example: perennial pins add block 'fx of left wrist' S60-S69 --why 'ticket 12'",
    )(add)
    group.command(
        "remove",
        epilog="Example: perennial pins remove block 'fx of left wrist' --why 'version 4 knows it'",
    )(remove)
    app.add_typer(group, name="pins")


def list_all(classifier: Classifier, past: Past = False, json: Json = False) -> None:
    """List the pins of a classifier, the newest first.

    `answers` counts the logged answers that the pin gave: none while the version gives its label.
    """
    with _context(classifier) as context:
        from monitoring.labels.pin_list import list_pins

        with context.engine.connect() as connection:
            listed = list_pins(connection, classifier, now=datetime.now(UTC), past=past)
    output().table({"pins": listed}, columns=COLUMNS, rows=map(_row, listed))


def add(
    classifier: Classifier,
    phrase: Phrase,
    label: Label,
    why: Why,
    until: Until = None,
    json: Json = False,
) -> None:
    """Answer a phrase with this label, whichever version answers. The service follows in seconds.

    The pin is inactive while the version gives the same label. `perennial pins remove` ends it.
    """
    with _context(classifier) as context:
        from machine.user import system_user
        from monitoring.labels.pinning import WantedPin, add_pin, champion_labels

        end = until.replace(tzinfo=UTC) if until else None
        wanted = WantedPin(classifier, phrase, label, system_user(), why, end)
        with context.engine.begin() as connection:
            labels = champion_labels(connection, classifier)
            pin = add_pin(connection, wanted, labels=labels, now=datetime.now(UTC))
    text = f"{classifier}: {pin.cleaned!r} is answered with {pin.label} (pin {pin.id})"
    output().result({"pin": pin}, text)


def remove(classifier: Classifier, phrase: Phrase, why: Why, json: Json = False) -> None:
    """Let the version answer a pinned phrase again."""
    with _context(classifier) as context:
        from machine.user import system_user
        from monitoring.labels.pinning import end_pin

        with context.engine.begin() as connection:
            pin = end_pin(
                connection,
                classifier,
                phrase,
                author=system_user(),
                why=why,
                now=datetime.now(UTC),
            )
    text = f"{classifier}: {pin.cleaned!r} is answered by the version again (pin {pin.id} ended)"
    output().result({"ended": pin}, text)


def _row(each: ListedPin) -> tuple[object, ...]:
    pin = each.pin
    end = each.ended_at or pin.until
    return (
        pin.id,
        pin.cleaned,
        pin.label,
        pin.author,
        f"{pin.since:%Y-%m-%d %H:%M}",
        f"{end:%Y-%m-%d %H:%M}" if end else "",
        f"{each.answers:,}",
        f"{each.contradicted:,}",
        pin.why,
    )


@contextmanager
def _context(classifier: str) -> Iterator[LoopContext]:
    with command_context() as context:
        context.params.classifier(classifier)
        yield context
