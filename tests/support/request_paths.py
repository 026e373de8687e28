"""The request path in one process: a fake embedder, stored heads, a real journal."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from bentos.answering.answers import AnswerService, PhraseRequest, answer_cache
from bentos.answering.explaining import Explainer
from bentos.heads.live_heads import LiveHeads
from bentos.heads.retained import Retained
from bentos.http.endpoint import AppState
from bentos.http.schemas import PredictionResponse
from bentos.inference_log.feedback import FOLDER, FeedbackCounts, FeedbackLog
from bentos.inference_log.journal import Journal, JournalCounts
from bentos.keys import Keys
from core.contracts import Deployment, ModelVersion, Rollout
from tests.support.embedders import FakeEmbedder
from tests.support.heads import EMBEDDER_ID, champion, store_head
from tests.support.journals import journaled


@dataclass
class Bench:
    """The request path with a fake embedder and a real journal."""

    home: Path
    embedder: FakeEmbedder = field(default_factory=FakeEmbedder)
    counts: JournalCounts = field(default_factory=JournalCounts)

    def __post_init__(self) -> None:
        self.heads = LiveHeads(EMBEDDER_ID, home=self.home)
        self.journal = Journal(self.home / "journal", counts=self.counts)
        self.feedback = FeedbackLog(self.home / "journal" / FOLDER, counts=FeedbackCounts())
        self.answers = AnswerService(
            live=lambda: self.heads.current,
            embedder=self.embedder,
            journal=self.journal,
            cache=answer_cache(100),
        )

    def promote(self, classifier: str, version: str, **options: Any) -> ModelVersion:
        model = store_head(self.home, classifier, version, **options)
        self.roll_out(champion(model))
        return model

    def roll_out(self, champion: Deployment, **beside: Deployment) -> None:
        self.heads.refresh(lambda: {champion.model.classifier: Rollout(champion, **beside)})

    def parts(self) -> AppState:
        retained = Retained(
            lambda: self.heads.current,
            models=self.home / "models",
            home=self.home,
            embedder_id=EMBEDDER_ID,
        )
        return AppState(
            self.answers,
            self.heads,
            self.counts,
            self.feedback,
            self.embedder.stats,
            Keys(None),
            retained,
            self.explainer(),
        )

    def explainer(self) -> Explainer:
        return Explainer(
            live=lambda: self.heads.current,
            embedder=self.embedder,
            memories=self.answers.memories,
            pins=self.answers.pins,
            models=self.home / "models",
        )

    def answer(self, *phrases: str, classifier: str = "organ") -> list[PredictionResponse]:
        return self.ask(
            [PhraseRequest(phrase, f"phrases[{place}]") for place, phrase in enumerate(phrases)],
            classifier=classifier,
        )

    def ask(
        self, asked: Sequence[PhraseRequest], *, classifier: str = "organ"
    ) -> list[PredictionResponse]:
        bodies = asyncio.run(self.answers.answer(classifier, asked))
        return [msgspec.json.decode(body, type=PredictionResponse) for body in bodies]

    def logged(self) -> list[dict[str, Any]]:
        return journaled(self.home / "journal")
