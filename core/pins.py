"""Pins: labels that people fixed for single phrases. The record, its rule, and what answers now."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from core.contracts import Prediction
from core.tables.pins import pin


@dataclass(frozen=True, slots=True)
class Pin:
    """From `since` on, and before `until`, a cleaned phrase is answered with `label`.

    `until` is None for a pin without an end. It belongs to the classifier, not to a version.
    """

    id: int
    classifier: str
    cleaned: str
    label: str
    since: datetime
    until: datetime | None
    author: str
    why: str

    def answers_at(self, moment: datetime) -> bool:
        """Return whether the pin has not ended by itself."""
        return self.until is None or moment < self.until


@dataclass(frozen=True, slots=True)
class KnownPins:
    """The pins of one moment; `newest` is the highest id of the table then, 0 without a row."""

    newest: int = 0
    pins: tuple[Pin, ...] = ()


NO_PINS = KnownPins()


def apply_pin(prediction: Prediction, pin: Pin | None) -> Prediction:
    """Return the answer that the client gets; the same object while the pin is inactive.

    A pin is inactive while the version gives the same label. An active pin has probability 1.
    """
    if pin is None or pin.label == prediction.label:
        return prediction
    return Prediction(pin.label, 1.0, known=prediction.known)


def settle(prediction: Prediction, pin: Pin | None) -> Prediction:
    """Return the version's answer, which stands when a pin says the same: a person was asked."""
    if prediction.abstained and pin is not None and pin.label == prediction.label:
        return replace(prediction, abstained=False)
    return prediction


def answering_pins(pins: Iterable[Pin], moment: datetime) -> tuple[Pin, ...]:
    """Leave out the pins whose time is over."""
    return tuple(pin for pin in pins if pin.answers_at(moment))


def newest_pin_row(connection: Connection) -> int:
    """Return the highest id of the table, 0 without a row: it grows with every change.

    Rows become visible in the order of their ids, because whoever appends one holds a lock.
    """
    return connection.scalar(sa.select(sa.func.max(pin.c.id))) or 0


def read_pins(connection: Connection, *, now: datetime, classifier: str | None = None) -> KnownPins:
    """Return the pins that answer at `now`, by classifier and phrase; by default, all of them."""
    newest = newest_pin_row(connection)  # first: a row that comes meanwhile is read again
    last = (
        sa.select(pin)
        .distinct(pin.c.classifier, pin.c.cleaned)
        .where(sa.true() if classifier is None else pin.c.classifier == classifier)
        .order_by(pin.c.classifier, pin.c.cleaned, pin.c.id.desc())
    )
    rows = connection.execute(last).all()
    pins = [Pin(*row) for row in rows if row.label is not None]
    return KnownPins(newest, answering_pins(pins, now))


def find_pin(connection: Connection, number: int) -> Pin | None:
    """Return one pin by its id, whether it still answers or not."""
    chosen = sa.select(pin).where(pin.c.id == number, pin.c.label.is_not(None))
    row = connection.execute(chosen).one_or_none()
    return Pin(*row) if row else None
