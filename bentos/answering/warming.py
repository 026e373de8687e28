"""Fills the first cache level before a version takes traffic.

The phrases are those last asked for, else the most frequent ones of the inference log.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import TimeoutError as NotInTime
from contextlib import suppress
from pathlib import Path

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Engine

from bentos.answering.answers import AnswerService
from bentos.answering.encoding import EncodedAnswer
from bentos.heads.loading import LiveModel
from core.contracts import LOADTEST_KEY
from core.errors import HeadRefused, PerennialError
from core.files import replace_private
from core.logs import get_logger

PHRASES = "phrases.json"
CHUNK_PHRASES = 64  # a quarter of the embedder's batch, so that requests wait only briefly for it
# The shortest span with enough phrases is read: a busy service does not read a week of its log.
LOG_HOURS = (1, 24, 168)
PROBE_PHRASES = 8  # equal answers to fewer prove nothing

ReadFrequent = Callable[[str, int], list[str]]

_FREQUENT = sa.text(
    "select cleaned from inference where classifier = :classifier"
    " and occurred_at > now() - make_interval(hours => :hours)"
    " and role in ('champion', 'canary')"
    f" and (routing_key is null or routing_key not like '{LOADTEST_KEY}%')"
    " group by cleaned order by count(*) desc, cleaned limit :limit"
)


def read_frequent_from(engine: Engine, *, seconds: float) -> ReadFrequent:
    """Return the adapter that reads a classifier's most frequent cleaned phrases from the log.

    Reading takes at most `seconds` per span of LOG_HOURS.
    """

    def read(classifier: str, limit: int) -> list[str]:
        with engine.begin() as connection:
            connection.execute(
                sa.text("select set_config('statement_timeout', :time, true)"),
                {"time": str(int(1000 * seconds))},
            )
            for hours in LOG_HOURS:
                bounds = {"classifier": classifier, "hours": hours, "limit": limit}
                phrases = list(connection.scalars(_FREQUENT, bounds))
                if len(phrases) == limit:
                    break
            return phrases

    return read


class Warmer:
    """Warms versions, from threads other than the event loop's.

    It never raises for a service that is away, and never takes longer than `seconds` per version.
    """

    def __init__(
        self,
        answers: AnswerService,
        *,
        folder: Path,
        phrases: int,
        seconds: float,
        frequent: ReadFrequent | None = None,
    ) -> None:
        self._answers = answers
        self._folder = folder
        self._phrases = phrases
        self._seconds = seconds
        self._frequent = frequent
        self._saved = read_phrases(folder)
        self._loop: asyncio.AbstractEventLoop | None = None
        self.done = False

    def use(self, loop: asyncio.AbstractEventLoop | None) -> None:
        """Compute answers on this event loop; None stops warming."""
        self._loop = loop

    def warm_all(self, models: Iterable[LiveModel]) -> None:
        """Warm the versions that answer at the start; `done` is true afterwards in any case."""
        try:
            for live in models:
                # A version that is refused here answers already, and no other is there.
                with suppress(HeadRefused):
                    self.warm(live)
        finally:
            self.done = True

    def warm(self, live: LiveModel) -> None:
        """Answer the phrases that this version will likely be asked.

        Raises `HeadRefused` when all answers are the same, or a probability is not a number.
        """
        texts = self._likely(live.model.classifier)
        if not texts or self._loop is None:
            return
        future = asyncio.run_coroutine_threadsafe(self._answer(live, texts), self._loop)
        try:
            answers = future.result(self._seconds)
            state = "warm"
        except (NotInTime, PerennialError) as error:
            future.cancel()
            answers = []
            state = f"not wholly warm: {type(error).__name__}"
        get_logger().info(
            "warming",
            state=state,
            classifier=live.model.classifier,
            version=live.model.version,
            phrases=len(texts),
        )
        refuse_meaningless(answers)

    def save(self) -> None:
        """Save the phrases of the first cache level for the next start.

        Raises `DiskFull` or `OSError`.
        """
        save_phrases(self._folder, self._recent())

    def _likely(self, classifier: str) -> list[str]:
        recent = self._recent().get(classifier, [])
        saved = self._saved.get(classifier, [])
        texts = recent + saved or self._logged(classifier)
        return list(dict.fromkeys(texts))[: self._phrases]

    def _logged(self, classifier: str) -> list[str]:
        if self._frequent is None or not self._phrases:
            return []
        try:
            return self._frequent(classifier, self._phrases)
        except sa.exc.SQLAlchemyError as error:
            get_logger().info(
                "warming", state="no phrases from the log", reason=type(error).__name__
            )
            return []

    def _recent(self) -> dict[str, list[str]]:
        recent: dict[str, dict[str, None]] = defaultdict(dict)
        for (classifier, _, text), _ in self._answers.cache.newest():
            recent[classifier][text] = None
        return {classifier: list(texts) for classifier, texts in recent.items()}

    async def _answer(self, live: LiveModel, texts: list[str]) -> list[EncodedAnswer]:
        starts = range(0, len(texts), CHUNK_PHRASES)
        return [
            encoded
            for start in starts
            for encoded in await self._answers.warm(live, texts[start : start + CHUNK_PHRASES])
        ]


def refuse_meaningless(answers: Sequence[EncodedAnswer]) -> None:
    """Raise `HeadRefused` when a probability is not a number, or all answers are the same.

    Equal answers count from PROBE_PHRASES phrases on.
    """
    responses = [(answer.own or answer).response for answer in answers]
    if any(b'"probability":null' in response for response in responses):
        raise HeadRefused(
            "a head that answers with probabilities",
            came="a probability that is not a number",
            do="train again, or roll back",
        )
    if len(responses) >= PROBE_PHRASES and len(set(responses)) == 1:
        raise HeadRefused(
            "a head that tells phrases apart",
            came=f"one answer to all {len(responses)} phrases of the warm-up",
            do="train again, or roll back",
        )


def save_phrases(folder: Path, phrases: dict[str, list[str]]) -> None:
    """Save the cleaned phrases of each classifier, the most recent first.

    Raises `DiskFull` or `OSError`.
    """
    if phrases:
        replace_private(folder / PHRASES, [msgspec.json.encode(phrases)])


def read_phrases(folder: Path) -> dict[str, list[str]]:
    """Return what `save_phrases` saved; nothing when there is no readable file."""
    try:
        return msgspec.json.decode((folder / PHRASES).read_bytes(), type=dict[str, list[str]])
    except (OSError, msgspec.DecodeError):
        return {}
