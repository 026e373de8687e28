"""Answers are in the first level before a version takes traffic: those last asked for, else the log's most frequent ones."""

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
CHUNK_PHRASES = (
    64  # a quarter of the embedder's batch: requests that come while warming do not wait for long
)
LOG_HOURS = (
    1,
    24,
    168,
)  # the shortest of these spans with enough phrases: the log of a busy service is not read for a week back
PROBE_PHRASES = 8  # of fewer, equal answers prove nothing

ReadFrequent = Callable[[str, int], list[str]]

_FREQUENT = sa.text(
    "select cleaned from inference where classifier = :classifier and occurred_at > now() - make_interval(hours => :hours)"
    f" and role in ('champion', 'canary') and (routing_key is null or routing_key not like '{LOADTEST_KEY}%')"
    " group by cleaned order by count(*) desc, cleaned limit :limit"
)


def frequent_in(engine: Engine, *, seconds: float) -> ReadFrequent:
    """Return the adapter that asks the log for a classifier's most frequent cleaned phrases, for at most `seconds` a span of time."""

    def read(classifier: str, limit: int) -> list[str]:
        with engine.begin() as connection:
            connection.execute(
                sa.text("select set_config('statement_timeout', :time, true)"),
                {"time": str(int(1000 * seconds))},
            )
            for hours in LOG_HOURS:
                found = list(
                    connection.scalars(
                        _FREQUENT, {"classifier": classifier, "hours": hours, "limit": limit}
                    )
                )
                if len(found) == limit:
                    break
            return found

    return read


class Warmer:
    """Warms from threads other than the event loop's; never raises for what is away, never takes longer than `seconds` a version."""

    def __init__(
        self,
        answers: AnswerService,
        *,
        folder: Path,
        phrases: int,
        seconds: float,
        frequent: ReadFrequent | None = None,
    ) -> None:
        self._answers, self._folder, self._phrases, self._seconds = (
            answers,
            folder,
            phrases,
            seconds,
        )
        self._frequent = frequent
        self._kept = read_phrases(folder)
        self._loop: asyncio.AbstractEventLoop | None = None
        self.done = False

    def use(self, loop: asyncio.AbstractEventLoop | None) -> None:
        """The event loop on which answers are computed; without one there is no warming."""
        self._loop = loop

    def warm_all(self, models: Iterable[LiveModel]) -> None:
        """Warm what answers at the start; `done` afterwards, whatever happens."""
        try:
            for live in models:
                with suppress(
                    HeadRefused
                ):  # it answers already, and nothing else is there to answer
                    self.warm(live)
        finally:
            self.done = True

    def warm(self, live: LiveModel) -> None:
        """Answer the phrases that this version will likely be asked; raise `HeadRefused` when it says the same of all, or no number."""
        texts = self._likely(live.model.classifier)
        if not texts or self._loop is None:
            return
        future = asyncio.run_coroutine_threadsafe(self._answer(live, texts), self._loop)
        try:
            said = future.result(self._seconds)
            state = "warm"
        except (NotInTime, PerennialError) as error:
            future.cancel()
            said, state = [], f"not wholly warm: {type(error).__name__}"
        get_logger().info(
            "warming",
            state=state,
            classifier=live.model.classifier,
            version=live.model.version,
            phrases=len(texts),
        )
        refuse_senseless(said)

    def save(self) -> None:
        """Keep what is in the first level for the next start. Raises `DiskFull` or `OSError`."""
        save_phrases(self._folder, self._recent())

    def _likely(self, classifier: str) -> list[str]:
        texts = [
            *self._recent().get(classifier, ()),
            *self._kept.get(classifier, ()),
        ] or self._logged(classifier)
        return list(dict.fromkeys(texts))[: self._phrases]

    def _logged(self, classifier: str) -> list[str]:
        try:
            return (
                self._frequent(classifier, self._phrases)
                if self._frequent and self._phrases
                else []
            )
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
            said
            for start in starts
            for said in await self._answers.warm(live, texts[start : start + CHUNK_PHRASES])
        ]


def refuse_senseless(said: Sequence[EncodedAnswer]) -> None:
    """Raise `HeadRefused` for answers that hold no number, or are one and the same to at least PROBE_PHRASES phrases."""
    if any(b'"probability":null' in one.response for one in said):
        raise HeadRefused(
            "a head that answers with probabilities",
            came="something that is no number",
            do="train again, or roll back",
        )
    if len(said) >= PROBE_PHRASES and len({one.response for one in said}) == 1:
        came = f"one answer to all {len(said)} phrases of the warm-up"
        raise HeadRefused(
            "a head that tells phrases apart", came=came, do="train again, or roll back"
        )


def save_phrases(folder: Path, phrases: dict[str, list[str]]) -> None:
    """Keep the cleaned phrases of each classifier, the most recently asked first. Raises `DiskFull` or `OSError`."""
    if phrases:
        replace_private(folder / PHRASES, [msgspec.json.encode(phrases)])


def read_phrases(folder: Path) -> dict[str, list[str]]:
    """What `save_phrases` kept, or nothing."""
    try:
        return msgspec.json.decode((folder / PHRASES).read_bytes(), type=dict[str, list[str]])
    except (OSError, msgspec.DecodeError):
        return {}
