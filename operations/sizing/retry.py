"""When a client asks again: full jitter, so that clients who failed together do not come back together; never before Retry-After."""

from __future__ import annotations

import email.utils
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

AGAIN = frozenset({0, 429, 502, 503, 504})
"""Statuses worth another try; 0 is how some clients tell a connection that broke."""


class Answer(Protocol):
    """What httpx, requests and Locust return."""

    @property
    def status_code(self) -> int: ...

    @property
    def headers(self) -> Mapping[str, str]: ...


Kind = TypeVar("Kind", bound=Answer)


@dataclass
class Retry:
    """Ask at most `attempts` times. Before try n + 1 wait a random time up to min(cap, base * 2^n) seconds, on top of Retry-After.

    Asking for a prediction twice does no harm: each answer is a logged inference of its own.
    """

    attempts: int = 4
    base: float = 0.1
    cap: float = 5.0
    lost: tuple[type[Exception], ...] = (OSError,)
    sleep: Callable[[float], None] = time.sleep
    random: random.Random = field(default_factory=random.Random)
    retries: int = 0

    def call(self, send: Callable[[], Kind]) -> Kind:
        """Return the first answer that is final, or the last there was. Raises one of `lost` when the last try raised it."""
        for attempt in range(self.attempts - 1):
            try:
                answer = send()
            except self.lost:
                told = None
            else:
                if answer.status_code not in AGAIN:
                    return answer
                told = (answer.headers or {}).get("retry-after")
            self.retries += 1
            self.sleep(self.pause(attempt, retry_after=told))
        return send()

    def pause(self, attempt: int, *, retry_after: str | None = None) -> float:
        """Seconds to wait after try `attempt` (from 0) failed; `retry_after` as the header says it: seconds or a date."""
        return seconds_told(retry_after) + self.random.uniform(
            0, min(self.cap, self.base * 2.0**attempt)
        )


def seconds_told(retry_after: str | None) -> float:
    """Seconds of a Retry-After header; 0 when there is none or it cannot be read."""
    if not retry_after:
        return 0.0
    if retry_after.strip().isdigit():
        return float(retry_after)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(retry_after).timestamp() - time.time())
    except ValueError:
        return 0.0
