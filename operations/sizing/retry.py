"""Decides when a client retries.

Full jitter keeps clients that failed together from retrying together. No retry comes before
the time in Retry-After.
"""

from __future__ import annotations

import email.utils
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

RETRYABLE = frozenset({0, 429, 502, 503, 504})
"""Statuses worth another try; some clients report a broken connection as 0."""


class Answer(Protocol):
    """A response of httpx, requests or Locust."""

    @property
    def status_code(self) -> int: ...

    @property
    def headers(self) -> Mapping[str, str]: ...


Kind = TypeVar("Kind", bound=Answer)


@dataclass
class Retry:
    """Send a request at most `attempts` times.

    Before try n + 1 it waits a random time up to min(cap, base * 2^n) seconds, on top of
    Retry-After. Asking for a prediction twice is harmless: each answer is its own logged inference.
    """

    attempts: int = 4
    base: float = 0.1
    cap: float = 5.0
    lost: tuple[type[Exception], ...] = (OSError,)
    sleep: Callable[[float], None] = time.sleep
    random: random.Random = field(default_factory=random.Random)
    retries: int = 0

    def call(self, send: Callable[[], Kind]) -> Kind:
        """Return the first final answer, or else the last answer.

        Raises an error of `lost` when the last try raised it.
        """
        for attempt in range(self.attempts - 1):
            try:
                answer = send()
            except self.lost:
                retry_after = None
            else:
                if answer.status_code not in RETRYABLE:
                    return answer
                retry_after = (answer.headers or {}).get("retry-after")
            self.retries += 1
            self.sleep(self.pause(attempt, retry_after=retry_after))
        return send()

    def pause(self, attempt: int, *, retry_after: str | None = None) -> float:
        """Return the seconds to wait after failed try `attempt` (from 0).

        `retry_after` is the value of the header: seconds or a date.
        """
        longest = min(self.cap, self.base * 2.0**attempt)
        return retry_after_seconds(retry_after) + self.random.uniform(0, longest)


def retry_after_seconds(retry_after: str | None) -> float:
    """Return the seconds of a Retry-After header; 0 when it is missing or cannot be parsed."""
    if not retry_after:
        return 0.0
    if retry_after.strip().isdigit():
        return float(retry_after)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(retry_after).timestamp() - time.time())
    except ValueError:
        return 0.0
