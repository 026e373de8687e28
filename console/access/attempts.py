"""Limits how often somebody may try to sign in."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from datetime import datetime, timedelta
from math import ceil
from threading import Lock

from core.errors import TooManyAttempts

WITHIN = timedelta(minutes=10)
MINUTE = timedelta(minutes=1)
PER_NAME = 10
PER_ADDRESS = 30
KEPT = 10_000
"""How many names and addresses are remembered: both come from outside."""


class Attempts:
    """The attempts of the last minutes, by name and by address.

    An attempt counts before its password is checked, so that many at once do not pass.
    """

    def __init__(self) -> None:
        self._moments: dict[tuple[str, str], deque[datetime]] = {}
        self._lock = Lock()

    def admit(self, name: str, address: str, *, now: datetime) -> None:
        """Count an attempt. Raises `TooManyAttempts` instead when there were too many."""
        limits = ((("name", name), PER_NAME), (("address", address), PER_ADDRESS))
        with self._lock:
            self._forget_old(now, (key for key, _ in limits))
            waits = [
                moments[0] + WITHIN - now
                for key, most in limits
                if len(moments := self._moments.get(key, deque())) >= most
            ]
            if waits:
                raise TooManyAttempts(
                    f"at most {PER_NAME} attempts per name in {WITHIN // MINUTE} minutes",
                    came="more",
                    do=f"try again in {ceil(max(waits) / MINUTE)} minutes",
                )
            for key, _ in limits:
                self._moments.setdefault(key, deque()).append(now)

    def succeeded(self, name: str, address: str) -> None:
        """Forget the attempts of a name, and one of the address."""
        with self._lock:
            self._moments.pop(("name", name), None)
            if moments := self._moments.get(("address", address)):
                moments.pop()

    def _forget_old(self, now: datetime, keys: Iterable[tuple[str, str]]) -> None:
        """Forget what is old of these keys, and the keys that were new longest ago."""
        for key in keys:
            moments = self._moments.get(key, deque())
            while moments and moments[0] <= now - WITHIN:
                moments.popleft()
            if not moments:
                self._moments.pop(key, None)
        while len(self._moments) > KEPT:
            del self._moments[next(iter(self._moments))]
