"""Adds and ends pins for people, and records who did."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime

from console.access.changes import record_change
from console.access.people import Person
from console.state import ConsoleState
from core.pins import Pin
from monitoring.labels.pinning import WantedPin, add_pin, champion_labels, end_pin


def pin_phrase(
    state: ConsoleState,
    person: Person,
    classifier: str,
    *,
    phrase: str,
    label: str,
    why: str,
    until: datetime | None = None,
) -> Pin:
    """Answer a phrase with a label from now on. Raises what `add_pin` raises."""
    wanted = WantedPin(classifier, phrase, label.strip(), person.name, why.strip(), until)
    now = state.clock()
    with state.changing() as connection:
        labels = champion_labels(connection, classifier)
        pin = add_pin(connection, wanted, labels=labels, now=now)
        record_change(
            connection, person, what="pin", subject=_subject(pin), after=_facts(pin), now=now
        )
    return pin


def unpin_phrase(
    state: ConsoleState, person: Person, classifier: str, *, phrase: str, why: str
) -> Pin:
    """Let the version answer a phrase again. Raises what `end_pin` raises."""
    now = state.clock()
    reason = why.strip()
    with state.changing() as connection:
        pin = end_pin(connection, classifier, phrase, author=person.name, why=reason, now=now)
        record_change(
            connection,
            person,
            what="unpin",
            subject=_subject(pin),
            before=_facts(pin),
            after={"why": reason},
            now=now,
        )
    return pin


def _subject(pin: Pin) -> str:
    return f"{pin.classifier}: {pin.cleaned}"


def _facts(pin: Pin) -> dict[str, object]:
    until = pin.until.isoformat() if pin.until else None
    return {**asdict(pin), "since": pin.since.isoformat(), "until": until}
