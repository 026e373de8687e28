"""Fixes the label of a phrase until somebody ends it: pins are added, ended and listed."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy.engine import Connection

from core.csv_files import is_unicode
from core.deployments import current_champions
from core.errors import UnknownVersion, UsageError
from core.locks import AdvisoryLock, hold_until_commit
from core.pins import Pin, read_pins
from core.tables.pins import pin as pin_table
from pipelines.model.head_file import load_head
from pipelines.model.text import clean_phrase
from pipelines.phrase_files import checked_phrases

MAX_PINS = 1_000
"""Of one classifier. More are a sign that a retraining is due: versions learn from feedback."""
MAX_TEXT = 500
"""Characters of a label, an author or a reason."""
LATEST = datetime(2200, 1, 1, tzinfo=UTC)


class PinRefused(UsageError):
    """A pin lacks a reason, or would end before it begins."""

    code = "pin_refused"


class UnknownLabel(UsageError):
    """A pin names a label that the champion does not have."""

    code = "unknown_label"


class ConflictingPin(UsageError):
    """Another pin answers the phrase already."""

    code = "conflicting_pin"


class TooManyPins(UsageError):
    """The classifier has as many pins as it may have."""

    code = "too_many_pins"


class UnknownPin(UsageError):
    """No pin answers the phrase."""

    code = "unknown_pin"


@dataclass(frozen=True, slots=True)
class WantedPin:
    """What somebody wants to pin; `until` is timezone-aware, None for no end."""

    classifier: str
    phrase: str
    label: str
    author: str
    why: str
    until: datetime | None = None


def champion_labels(connection: Connection, classifier: str) -> frozenset[str]:
    """Return the labels of the champion. Raises `UnknownVersion` without one, `HeadRefused`."""
    champion = current_champions(connection).get(classifier)
    if champion is None:
        raise UnknownVersion(
            f"a champion of {classifier}, whose answers a pin can replace",
            came="none yet",
            do=f"run `perennial retrain {classifier}`",
        )
    return frozenset(load_head(Path(champion.model.head_location)).labels)


def add_pin(
    connection: Connection, wanted: WantedPin, *, labels: Collection[str], now: datetime
) -> Pin:
    """Answer a phrase with a label from now on. The caller commits.

    `labels` are those of the champion. A pin that is already there is returned, not repeated.
    Raises `InvalidPhrase`, `PinRefused`, `UnknownLabel`, `ConflictingPin`, `TooManyPins`.
    """
    _refuse_unusable(wanted, labels, now)
    cleaned = clean_phrase(wanted.phrase)
    pins = _held_pins(connection, wanted.classifier, now)
    present = _of_phrase(pins, cleaned)
    if present is not None:
        return _repeated(present, wanted)
    if len(pins) >= MAX_PINS:
        raise TooManyPins(
            f"at most {MAX_PINS:,} pins of {wanted.classifier}",
            came="one more",
            do="end some of them, or retrain: versions learn from feedback",
        )
    values = {
        "classifier": wanted.classifier,
        "cleaned": cleaned,
        "label": wanted.label,
        "since": now,
        "until": wanted.until,
        "author": wanted.author,
        "why": wanted.why,
    }
    return Pin(*connection.execute(pin_table.insert().returning(pin_table), values).one())


def end_pin(
    connection: Connection, classifier: str, phrase: str, *, author: str, why: str, now: datetime
) -> Pin:
    """Let the version answer a phrase again; return the pin that ended. The caller commits.

    Raises `UnknownPin`, `PinRefused`.
    """
    _refuse_text(author=author, why=why)
    cleaned = clean_phrase(phrase)
    present = _of_phrase(_held_pins(connection, classifier, now), cleaned)
    if present is None:
        raise UnknownPin(
            f"a pinned phrase of {classifier}",
            came=repr(cleaned[:80]),
            do=f"see `perennial pins list {classifier}`",
        )
    values = {
        "classifier": classifier,
        "cleaned": cleaned,
        "since": now,
        "author": author,
        "why": why,
    }
    connection.execute(pin_table.insert(), values)
    return present


def _held_pins(connection: Connection, classifier: str, now: datetime) -> Sequence[Pin]:
    """Return the pins that answer; nobody else changes pins until the transaction ends."""
    hold_until_commit(connection, AdvisoryLock.PINS, "pins")
    return read_pins(connection, now=now, classifier=classifier).pins


def _of_phrase(pins: Sequence[Pin], cleaned: str) -> Pin | None:
    return next((pin for pin in pins if pin.cleaned == cleaned), None)


def _repeated(present: Pin, wanted: WantedPin) -> Pin:
    if (present.label, present.until) == (wanted.label, wanted.until):
        return present
    end = f", until {present.until:%Y-%m-%d %H:%M}" if present.until else ""
    raise ConflictingPin(
        f"one pin for {present.cleaned[:80]!r}",
        came=f"one to {wanted.label}, beside {present.label} by {present.author}{end}",
        do="end that pin first",
    )


def _refuse_unusable(wanted: WantedPin, labels: Collection[str], now: datetime) -> None:
    _refuse_text(label=wanted.label, author=wanted.author, why=wanted.why)
    list(checked_phrases([wanted.phrase]))
    if wanted.label not in labels:
        raise UnknownLabel(
            f"a label of {wanted.classifier}",
            came=repr(wanted.label[:80]),
            do="choose one of the champion's labels",
        )
    if wanted.until is not None and not now < wanted.until < LATEST:
        raise PinRefused(
            f"an end in the future, before {LATEST:%Y}",
            came=f"{wanted.until:%Y-%m-%d %H:%M}",
            do="correct it, or leave it out for a pin without an end",
        )


def _refuse_text(**texts: str) -> None:
    for name, text in texts.items():
        usable = is_unicode(text) and "\0" not in text and text.strip()
        if not usable or len(text) > MAX_TEXT:
            raise PinRefused(
                f"a text for `{name}` of 1 to {MAX_TEXT} characters",
                came=repr(text[:80]),
                do="give one",
            )
