"""The loop as production runs it, under a simulated clock: log, labels, watch, fit, gate, champion.

Real functions on a real PostgreSQL, without Prefect, DVC and BentoML in between. A policy sees
this object and nothing of the oracle.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import sqlalchemy as sa
from sqlalchemy.engine import Engine

from core.contracts import Deployment, ModelVersion, Verdict
from core.decisions import record_decision
from core.deployments import append_deployment
from core.feedback import record_feedback
from core.params.schema import ClassifierParams
from core.tables.loop import feedback
from monitoring.drift.budget import Budget
from monitoring.drift.unanswered import drift_to_learn, unanswered_drift, with_unanswered
from monitoring.drift.watching import watch_classifier
from monitoring.labels.feedback import feedback_rows
from monitoring.labels.unselected import unselected_requests
from monitoring.retraining import decide_retraining
from operations.simulation.answering import Answer, Answering
from operations.simulation.arrivals import Arrivals
from operations.simulation.candidates import Candidate, make_candidate
from operations.simulation.gate import SimulatedChampion, SimulatedGateContext, judge_candidate
from operations.simulation.log import write_log
from operations.simulation.memory import GivenLabel, RunningMemory
from operations.simulation.people import PersonLabel
from operations.simulation.revisions import store_revision
from operations.simulation.source import KEY, SCHEMA, Source
from operations.simulation.vectors import Vectors
from pipelines.gate.decide import CHANCE_ROUTES
from pipelines.model.head_file import save_head


@dataclass(frozen=True, eq=False)
class Machinery:
    """What a loop is set to: the block, and the keys of params.yaml beside it."""

    block: ClassifierParams
    vectors: Vectors
    seed: int
    false_alarms: Budget


@dataclass(frozen=True)
class Fit:
    """What became of a retraining; `before` and `candidate` are what would answer.

    `began` is the start of the newest drift since the champion's fit.
    """

    at: datetime
    reason: str
    kind: str
    why: tuple[str, ...]
    began: datetime | None
    promoted: bool
    before: Answering | None
    candidate: Answering


@dataclass
class Production:
    """One classifier's loop. `now` is set by the clock; `fits` and `watched` tell what happened."""

    engine: Engine
    folder: Path
    source: Source
    machinery: Machinery
    now: datetime
    serves_all_rows: bool = False
    promotes_equals: bool = False
    memory: RunningMemory | None = None
    answering: Answering | None = None
    fits: list[Fit] = field(default_factory=list)
    watched: list[tuple[datetime, Verdict]] = field(default_factory=list)
    learnt_source_at: datetime | None = None
    learnt_labels_at: datetime | None = None
    champion: SimulatedChampion | None = None
    remembered_rows: int = 0
    _waiting: bool = False
    _stored: int = 0
    _last_fit_at: datetime | None = None
    _proved: SimulatedChampion | None = None

    @property
    def block(self) -> ClassifierParams:
        return self.machinery.block

    @property
    def vectors(self) -> Vectors:
        return self.machinery.vectors

    def answer(self, cleaned: Sequence[str]) -> list[Answer]:
        assert self.answering is not None, "the first version is fitted before the year begins"
        return self.answering.answer(cleaned)

    def log(
        self, arrivals: Arrivals, ids: Sequence[str], answers: Sequence[Answer], day: int
    ) -> None:
        """Keep the answers of a stretch of one day."""
        assert self.answering is not None
        write_log(
            self.engine,
            arrivals,
            ids=ids,
            answers=answers,
            overruled=self.answering.overruled(arrivals.cleaned.tolist()),
            day=day,
            version=self.answering.version,
            embedder_id=self.vectors.embedder_id,
        )

    def receive(self, labels: Sequence[PersonLabel]) -> None:
        """Record feedback; the memory has it from the next revision on."""
        with self.engine.begin() as connection:
            for given in labels:
                record_feedback(
                    connection,
                    request_id=given.request_id,
                    label=given.label,
                    author=given.author,
                    received_at=given.received_at,
                    kind=given.kind,
                    probability=given.probability,
                )
        if self.memory is not None:
            self.memory.add(
                GivenLabel(
                    given.request_id,
                    given.cleaned,
                    given.label,
                    given.received_at,
                    given.author,
                    given.kind,
                )
                for given in labels
            )
        self._waiting = self._waiting or bool(labels)

    def remember(self) -> None:
        """Renew the memory when labels came."""
        if self.memory is not None and self._waiting:
            self._renew_memory()

    def watch(self) -> Verdict:
        """Judge the pending windows; a drift that no gate has answered is called again."""
        self._store_memory()
        judged = watch_classifier(
            self.engine,
            classifier=KEY,
            block=self.block,
            models=self.folder / "models",
            reports=self.folder / "reports",
            embed=self.vectors,
            now=self.now,
            seed=self.machinery.seed,
            false_alarms=self.machinery.false_alarms,
            write_pages=False,
        )
        with self.engine.connect() as connection:
            unanswered = unanswered_drift(
                connection,
                classifier=KEY,
                now=self.now,
                cool_down_days=self.block.drift.cool_down_days,
            )
        verdict = with_unanswered(judged, unanswered)
        self.watched.append((self.now, verdict))
        return verdict

    def retrain(self, reason: str) -> Verdict:
        """Fit a candidate, compare it with the champion, and act on the verdict."""
        due = decide_retraining(
            reason,
            last_retraining_at=self._last_fit_at,
            now=self.now,
            cool_down_days=self.block.drift.cool_down_days,
        )
        self._record(due, "retraining")
        if due.kind != "retrain":
            return due
        stored = self._snapshot()
        candidate = make_candidate(
            stored,
            block=self.block,
            vectors=self.vectors,
            seed=self.machinery.seed,
            remembers=self.memory is not None,
            serves_all_rows=self.serves_all_rows,
        )
        return self._decide(candidate, reason)

    def _decide(self, candidate: Candidate, reason: str) -> Verdict:
        context = self._gate_context()
        verdict = judge_candidate(candidate, context, block=self.block, seed=self.machinery.seed)
        version = str(len(self.fits) + 1)
        self._record(replace(verdict, evidence={**verdict.evidence, "version": version}), "gate")
        self._last_fit_at = self.now
        self._learn_source()
        self._store_memory()

        answering = self._answering(candidate, version)
        kinds = {"promote", "keep", "undecided"} if self.promotes_equals else {"promote"}
        promoted = verdict.kind in kinds or self.answering is None
        before = self.answering
        began = context.drift.began if context.drift else None
        self.fits.append(
            Fit(self.now, reason, verdict.kind, verdict.reasons, began, promoted, before, answering)
        )

        if promoted:
            self._promote(candidate, answering, reason)
            if CHANCE_ROUTES & set(verdict.evidence.get("better", ())):
                self._proved = self.champion
        return verdict

    def _gate_context(self) -> SimulatedGateContext:
        """Return what the gate knows; `selected` are the labels of answers that were wrong."""
        champion = self.champion
        with self.engine.connect() as connection:
            unselected = unselected_requests(connection, KEY)
            given = set(connection.scalars(sa.select(feedback.c.request_id)))
            drift = (
                drift_to_learn(connection, KEY, since=champion.fitted_at, now=self.now)
                if champion
                else None
            )
        proved = self._proved if self._proved is not champion else None
        return SimulatedGateContext(champion, proved, given - unselected, drift, self.now)

    def _answering(self, candidate: Candidate, version: str) -> Answering:
        head = candidate.heads.served if self.serves_all_rows else candidate.heads.judged
        evidence = self.memory.evidence if self.memory is not None else None
        return Answering(head, self.vectors, version=version, memory=evidence)

    def _promote(self, candidate: Candidate, answering: Answering, reason: str) -> None:
        folder = self.folder / "models" / KEY / answering.version
        digest = save_head(answering.head, folder)
        pq.write_table(candidate.reference(answering), folder / "reference.parquet")
        model = ModelVersion(KEY, answering.version, str(folder), digest, self.vectors.embedder_id)
        with self.engine.begin() as connection:
            append_deployment(connection, Deployment(model, "champion", 1.0, self.now, reason))
        judged = Answering(candidate.heads.judged, self.vectors, version=answering.version)
        self.champion = SimulatedChampion(judged, self.now)
        self.answering = answering

    def _snapshot(self) -> pa.Table:
        """Source rows without those that feedback replaces, then the feedback."""
        known = self.source.table.take(self.source.rows_known(self.now))
        with self.engine.connect() as connection:
            late = feedback_rows(connection, label_columns={KEY: KEY}, received_by=self.now)
        given = late.select(SCHEMA.names).cast(SCHEMA)
        replaced = pc.is_in(known["id"], value_set=given["id"].combine_chunks())
        self.learnt_source_at = self.now
        self.learnt_labels_at = self.now
        return pa.concat_tables([known.filter(pc.invert(replaced)), given])

    def _learn_source(self) -> None:
        """Give the memory the rows of the snapshot, and renew it."""
        if self.memory is None:
            return
        rows = self.source.rows_known(self.now)
        self.memory.add(self.source.given(rows[self.remembered_rows :]))
        self.remembered_rows = len(rows)
        self._renew_memory()

    def _renew_memory(self) -> None:
        assert self.memory is not None
        changed = self.memory.renew()
        self.learnt_labels_at = self.now
        self._waiting = False
        if self.answering is not None:
            self.answering.forget(changed)

    def _store_memory(self) -> None:
        """Make a revision, for the watch, of what the memory learnt since the last one."""
        if self.memory is not None and self.memory.renewals > self._stored:
            self._stored = self.memory.renewals
            store_revision(self.engine, self.folder / "models", self.memory, now=self.now)

    def _record(self, verdict: Verdict, subject: str) -> None:
        with self.engine.begin() as connection:
            record_decision(
                connection, verdict, classifier=KEY, subject=subject, decided_at=self.now
            )
