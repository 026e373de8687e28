"""The pins that answer now: packed with the bento, kept as last known, and followed by the poll."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

import msgspec
from sqlalchemy.engine import Connection

from core.files import replace_private
from core.logs import get_logger
from core.pins import NO_PINS, KnownPins, Pin, answering_pins, newest_pin_row, read_pins

PINS = "pins.json"

_Phrase = tuple[str, str]  # classifier, cleaned phrase


class LivePins:
    """What people fixed, by phrase. For one event loop."""

    def __init__(self) -> None:
        self._pins: dict[_Phrase, Pin] = {}

    def __len__(self) -> int:
        return len(self._pins)

    def find(self, classifier: str, cleaned: str) -> Pin | None:
        """Return the pin of a phrase."""
        return self._pins.get((classifier, cleaned))

    def swap(self, pins: Sequence[Pin]) -> frozenset[_Phrase]:
        """Answer with these pins from now on; return the phrases for which that is a change."""
        before = self._pins
        self._pins = {(pin.classifier, pin.cleaned): pin for pin in pins}
        phrases = before.keys() | self._pins.keys()
        return frozenset(key for key in phrases if before.get(key) != self._pins.get(key))

    def counts(self) -> dict[str, int]:
        """Return classifier -> how many of its phrases are pinned."""
        counts: dict[str, int] = {}
        for classifier, _ in self._pins:
            counts[classifier] = counts.get(classifier, 0) + 1
        return counts


@dataclass
class PinFollower:
    """Follows the table `pin` for the classifiers for which `serves` returns true.

    Runs in the thread of the poll. `hand_over` takes the pins that answer to the event loop, each
    time that they change. What was read last is kept in `folder`, so that a service that starts
    without the database knows it. `settled`: the table was read, or is known to be away.
    """

    folder: Path
    hand_over: Callable[[Sequence[Pin]], None]
    serves: Callable[[str], bool] = lambda classifier: True
    settled: bool = False
    _known: KnownPins = NO_PINS
    _answering: tuple[Pin, ...] = ()
    _read: bool = False
    _saved: bool = True

    def start_cold(self, packed: Path, *, now: datetime) -> None:
        """Begin with the newer of the pins packed with the bento and those known last."""
        known = max(load_pins(packed), load_pins(self.folder), key=lambda pins: pins.newest)
        self._take(known, now)

    def refresh(self, connection: Connection, *, now: datetime) -> None:
        """Read the pins when the table has changed. Raises SQLAlchemy's errors."""
        if self._read and newest_pin_row(connection) == self._known.newest:
            return
        self._take(read_pins(connection, now=now), now)
        self._read = True
        self._saved = False

    def retire(self, *, now: datetime) -> None:
        """End the pins whose time is over, also while the database is away."""
        answering = answering_pins(self._known.pins, now)
        if answering != self._answering:
            self._answering = answering
            self.hand_over(answering)
            get_logger().info("live pins", pins=len(answering))

    def save(self) -> None:
        """Keep what was read last for the next start. Raises `DiskFull` or `OSError`."""
        if not self._saved:
            replace_private(self.folder / PINS, [encode_pins(self._known)])
            self._saved = True

    def _take(self, known: KnownPins, now: datetime) -> None:
        served = tuple(pin for pin in known.pins if self.serves(pin.classifier))
        self._known = replace(known, pins=served)
        self.retire(now=now)


def encode_pins(known: KnownPins) -> bytes:
    """Return the content of the file PINS."""
    return msgspec.json.encode(known)


def load_pins(folder: Path) -> KnownPins:
    """Return the pins of the file PINS in a folder; none when there is no readable file."""
    try:
        return msgspec.json.decode((folder / PINS).read_bytes(), type=KnownPins)
    except (OSError, msgspec.DecodeError):
        return NO_PINS
