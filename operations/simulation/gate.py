"""The gate's verdict on a candidate, with all that production knows of the champion."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from core.contracts import Verdict
from core.params.schema import ClassifierParams
from operations.simulation.answering import Answering
from operations.simulation.candidates import Candidate, evidence_of
from pipelines.gate.assembly import AnswerRows, ChampionAnswers, assemble_rows
from pipelines.gate.decide import decide
from pipelines.gate.drifted import UnlearntDrift
from pipelines.stages.memories import answers_without_own


@dataclass(frozen=True)
class SimulatedChampion:
    """The version that answers: its judged head alone, and when it was fitted."""

    judged: Answering
    fitted_at: datetime


@dataclass(frozen=True)
class SimulatedGateContext:
    """What the gate knows beside the rows.

    `proved` is the last version with a proved gain, None where that is the champion; `selected` are
    the ids of labels that were given because an answer was wrong.
    """

    champion: SimulatedChampion | None
    proved: SimulatedChampion | None
    selected: Collection[str]
    drift: UnlearntDrift | None
    now: datetime


def judge_candidate(
    candidate: Candidate, context: SimulatedGateContext, *, block: ClassifierParams, seed: int
) -> Verdict:
    """Decide as the step that compares does in a retraining."""
    tested = candidate.tested
    rows = assemble_rows(
        candidate.recent,
        candidate.labels,
        truth=_strings(tested, "label"),
        candidate=_strings(tested, "predicted"),
        floor=candidate.floor,
        selected=context.selected,
        champion=_champion_answers(candidate, context),
    )
    return decide(rows, block.gate, seed=seed)


def _champion_answers(
    candidate: Candidate, context: SimulatedGateContext
) -> ChampionAnswers | None:
    champion = context.champion
    if champion is None:
        return None
    drift = context.drift
    return ChampionAnswers(
        judged=_answer_rows(champion.judged.beside(candidate.memory)),
        labels=champion.judged.head.labels,
        fitted_at=champion.fitted_at,
        days=(context.now - champion.fitted_at) / timedelta(days=1),
        drift=drift,
        around_drift=partial(_around_drift, candidate=candidate, champion=champion, drift=drift)
        if drift
        else None,
        proved=_answer_rows(context.proved.judged.beside(candidate.memory))
        if context.proved
        else None,
    )


def _answer_rows(answering: Answering) -> AnswerRows:
    def answer(rows: pa.Table) -> np.ndarray:
        answers = answering.answer(rows["cleaned"].to_pylist())
        return np.array([label for label, _ in answers], dtype=str)

    return answer


def _around_drift(
    rows: pa.Table, *, candidate: Candidate, champion: SimulatedChampion, drift: UnlearntDrift
) -> tuple[np.ndarray, np.ndarray]:
    """As `answer_before_and_after`; where nothing remembers, the heads answer alone."""
    judged = champion.judged
    after = candidate.heads.judged
    if candidate.memory is None:
        alone = Answering(after, judged.embed, version="candidate")
        return _answer_rows(judged)(rows), _answer_rows(alone)(rows)
    labels = candidate.labels
    learnt, _ = answers_without_own(after, rows, labels, embed=judged.embed)
    if not drift.unanswered:
        kept, _ = answers_without_own(judged.head, rows, labels, embed=judged.embed)
        return kept.astype(str), learnt.astype(str)
    moment = pa.scalar(drift.began, labels["occurred_at"].type)
    earlier = labels.filter(pc.less(labels["occurred_at"], moment))
    before = _answer_rows(judged.beside(evidence_of(earlier)))
    return before(rows), learnt.astype(str)


def _strings(rows: pa.Table, column: str) -> np.ndarray:
    return np.array(rows[column].to_pylist(), dtype=str)
