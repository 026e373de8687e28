"""Watches one classifier: judges every complete window of its champion that was not judged yet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property
from pathlib import Path

import pandas as pd
from sqlalchemy.engine import Engine

from core.arrivals import newest_arrival
from core.contracts import ModelVersion, Verdict
from core.decisions import record_decision
from core.deployments import current_champions
from core.errors import HeadRefused, UnknownVersion
from core.memory_revisions import MemoryRevision, newest_revisions
from core.params.schema import ClassifierParams
from monitoring.drift.budget import Budget
from monitoring.drift.concluding import WAIT, as_report, conclude
from monitoring.drift.corrections import count_corrections
from monitoring.drift.judging import Judge, JudgedWindow
from monitoring.drift.label_evidence import LabelEvidence, call_by_labels, read_label_evidence
from monitoring.drift.label_requests import follow_request, with_request
from monitoring.drift.labelled import LabelledPhrases, phrases_with_feedback
from monitoring.drift.moved import Labelled
from monitoring.windows.files import report_file, write_window_files
from monitoring.windows.page_retention import remove_old_pages
from monitoring.windows.pending import PendingWindows, read_pending
from monitoring.windows.reports import DriftReport, hold_reports, read_progress, store_reports
from monitoring.windows.scoring import WindowScorer, read_reference
from monitoring.windows.traffic import Traffic
from monitoring.windows.turned import turned_since_fit
from pipelines.memory.store import no_source_labels, read_source_labels, recorded_memory
from pipelines.model.embedder import Embed
from pipelines.model.head_file import Head, load_head
from pipelines.model.memory import Memory
from pipelines.model_store import problem_of


def watch_classifier(
    engine: Engine,
    *,
    classifier: str,
    block: ClassifierParams,
    models: Path,
    reports: Path,
    embed: Embed,
    now: datetime,
    seed: int,
    false_alarms: Budget,
    write_pages: bool = True,
) -> Verdict:
    """Judge the pending windows and return the gravest of their verdicts.

    The kinds are those of `concluding.SEVERITY`: "insufficient" without anything to judge, "drift"
    also where labels came that an earlier watch asked for, or where labels contradict the answers
    too often. Each window gets a row in
    `drift_report`, and a report and a plot with `write_pages`; the verdict gets a row in
    `decision`. No window is reported twice. Equal rows and an equal `seed` give an equal verdict.
    """
    watched = _read(engine, classifier, block, models=models)
    if watched is None:
        return Verdict(
            "insufficient", ("no version answers yet: train one with `perennial retrain`",)
        )
    pending = watched.pending
    if pending.windows:
        head = _registered_head(watched.folder, digest=watched.model.head_digest)
        phrases = pending.reference["cleaned"]
        scorer = WindowScorer(head, embed, phrases=phrases, seed=seed, memory=watched.memory)
        pages = _Pages(reports, write=write_pages)
        verdict = _judge(engine, watched, scorer, false_alarms, pages, now=now, seed=seed)
    else:
        verdict = _nothing_pending(pending)
    return _with_labels(engine, watched, verdict, false_alarms, now=now)


@dataclass(frozen=True)
class _Pages:
    """Where the pages of windows lie; `write` is False where nobody reads them."""

    reports: Path
    write: bool


@dataclass(frozen=True)
class _Watched:
    """What is read before anything is judged. The memory is loaded when it is asked for."""

    model: ModelVersion
    models: Path
    folder: Path
    reference: pd.DataFrame
    pending: PendingWindows
    revision: MemoryRevision | None
    phrases_with_feedback: set[str]
    least_share: float

    @cached_property
    def memory(self) -> Memory | None:
        return recorded_memory(self.revision) if self.revision else None

    def source_labels(self, since: datetime) -> pd.DataFrame:
        """Return id, cleaned, label, occurred_at of the source's rows after a moment."""
        if self.revision is None:
            return no_source_labels()
        snapshot = self.revision.snapshot
        try:
            return read_source_labels(
                self.models, self.model.classifier, snapshot=snapshot, since=since
            )
        except UnknownVersion:
            return no_source_labels()

    @cached_property
    def labelled(self) -> Labelled:
        """The phrases that the source or people have labelled; reference rows have labels."""
        others = {*self.pending.reference["cleaned"], *self.phrases_with_feedback}
        return LabelledPhrases(lambda: self.memory, others)


def _read(
    engine: Engine, classifier: str, block: ClassifierParams, *, models: Path
) -> _Watched | None:
    until = newest_arrival(engine)
    with engine.connect() as connection:
        champion = current_champions(connection).get(classifier)
        if champion is None:
            return None
        folder = models / classifier / champion.model.version
        revision = newest_revisions(connection).get(classifier)
        reference = read_reference(folder / "reference.parquet")
        pending = read_pending(
            connection,
            champion.model,
            reference,
            drift=block.drift,
            until=until,
        )
        newest_known = revision.last_feedback if revision else None
        with_feedback = phrases_with_feedback(connection, classifier, after=newest_known or 0)
    return _Watched(
        champion.model,
        models,
        folder,
        reference,
        pending,
        revision,
        with_feedback,
        block.drift.min_labelled_share,
    )


def _judge(
    engine: Engine,
    watched: _Watched,
    scorer: WindowScorer,
    false_alarms: Budget,
    pages: _Pages,
    *,
    now: datetime,
    seed: int,
) -> Verdict:
    """Judge all windows, write their files, store rows and decision, and return the verdict."""
    turned = turned_since_fit(engine, watched.model, watched.memory)
    pending = watched.pending.completed(scorer, turned)
    judge = Judge(
        scorer,
        pending.baselines(scorer, seed=seed),
        watched.labelled,
        watched.least_share,
        false_alarms,
        seed,
    )

    judged = _with_refusals(engine, watched.model, list(judge.judge_all(pending)))
    files = [report_file(window, pending, reports=pages.reports) for window in judged]
    for window in judged if pages.write else ():
        write_window_files(window, pending, judged, scorer, reports=pages.reports)

    power = judge.power(judged[-1])
    verdicts = conclude(pending, judged, files, scorer, labelled=watched.labelled, power=power)
    labels = _label_evidence(engine, watched, false_alarms, now=now)
    rows = [
        as_report(window, file, version=pending.version, scorer=scorer, labels=labels)
        for window, file in zip(judged, files, strict=True)
    ]

    verdict = _store(engine, verdicts, pending, rows, now=now)
    with engine.connect() as connection:
        remove_old_pages(connection, pending.classifier, reports=pages.reports)
    return verdict


def _with_refusals(
    engine: Engine, model: ModelVersion, judged: list[JudgedWindow]
) -> list[JudgedWindow]:
    """Note which share of each window's answers said "none of these"."""
    with engine.connect() as connection:
        traffic = Traffic(connection, model.classifier, model.version)
        return [replace(window, refused=traffic.refused_share(window.window)) for window in judged]


def _label_evidence(
    engine: Engine, watched: _Watched, false_alarms: Budget, *, now: datetime
) -> LabelEvidence | None:
    with engine.connect() as connection:
        return read_label_evidence(
            connection,
            watched.model,
            reference=watched.reference,
            source=watched.source_labels,
            false_calls=false_alarms.for_labels,
            now=now,
        )


def _with_labels(
    engine: Engine, watched: _Watched, verdict: Verdict, false_alarms: Budget, *, now: datetime
) -> Verdict:
    """Add what labels say: those that were asked for, samples that contradict, corrections."""
    request = follow_request(
        engine,
        watched.model.classifier,
        labelled=watched.labelled,
        least_share=watched.least_share,
        now=now,
    )
    verdict = with_request(verdict, request)
    if verdict.kind == "drift":
        return verdict
    called = call_by_labels(
        engine,
        watched.model,
        reference=watched.reference,
        source=watched.source_labels,
        false_calls=false_alarms.for_labels,
        now=now,
    )
    verdict = with_request(verdict, called)
    with engine.connect() as connection:
        corrections = count_corrections(connection, watched.model.classifier, now=now)
    if verdict.kind == "drift" or not corrections.grown:
        return verdict
    return replace(verdict, reasons=(corrections.sentence(), *verdict.reasons))


def _nothing_pending(pending: PendingWindows) -> Verdict:
    reason = f"no complete window of {pending.size} answers since window {pending.number}; {WAIT}"
    evidence = {"version": pending.version, "window_rows": pending.size}
    return Verdict("insufficient", (reason,), evidence)


def _registered_head(folder: Path, *, digest: str) -> Head:
    """Load the head; raise `HeadRefused` when it is not the one that answers."""
    if problem := problem_of(folder, digest=digest):
        raise HeadRefused(
            f"the champion's head in {folder}",
            came=problem,
            do="restore the head file, or roll back",
        )
    return load_head(folder)


def _store(
    engine: Engine,
    verdicts: Sequence[Verdict],
    pending: PendingWindows,
    reports: Sequence[DriftReport],
    *,
    now: datetime,
) -> Verdict:
    """Store rows and verdicts; return the first verdict."""
    classifier = pending.classifier
    with engine.begin() as connection:
        hold_reports(connection, classifier)
        if read_progress(connection, classifier=classifier).number != pending.number:
            reason = "another watch reported these windows at the same time"
            return Verdict("insufficient", (reason,))
        store_reports(connection, reports, classifier=classifier, reported_at=now)
        for verdict in verdicts:
            record_decision(
                connection, verdict, classifier=classifier, subject="drift", decided_at=now
            )
    return verdicts[0]
