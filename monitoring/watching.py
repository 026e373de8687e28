"""Watches one classifier: judges every complete window of its champion that was not judged yet."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy.engine import Engine

from core.arrivals import newest_arrival
from core.contracts import Verdict
from core.decisions import record_decision
from core.deployments import current_champions
from core.errors import HeadRefused
from core.memory_revisions import newest_revisions
from core.params import ClassifierParams
from monitoring.drift_reports import DriftReport, hold_reports, read_progress, store_reports
from monitoring.evidence import moved_labels, novel_phrases
from monitoring.judging import JudgedWindow, judge_windows
from monitoring.pending import PendingWindows, read_pending
from monitoring.scoring import WindowScorer, read_reference
from monitoring.window_files import describe_window, write_window_files
from pipelines.memory.store import recorded_memory
from pipelines.model.embedder import Embed
from pipelines.model.head_file import Head, load_head
from pipelines.model_store import problem_of

SEVERITY = ("insufficient", "steady", "warning", "drift")
REASONS_SHOWN = 10


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
) -> Verdict:
    """Judge the pending windows and return the gravest of their verdicts.

    The kinds are "drift", "warning", "steady", and "insufficient" without anything to judge. Each
    window gets a row in `drift_report`, an Evidently report and a plot under `reports`; the verdict
    gets a row in `decision`. No window is reported twice. Equal rows and `seed`, which draws the
    past windows, give an equal verdict.
    """
    until = newest_arrival(engine)
    with engine.connect() as connection:
        champion = current_champions(connection).get(classifier)
        if champion is None:
            return Verdict("insufficient", ("no version answers yet",))
        folder = models / classifier / champion.model.version
        revision = newest_revisions(connection).get(classifier)
        pending = read_pending(
            connection,
            champion.model,
            read_reference(folder / "reference.parquet"),
            drift=block.drift,
            until=until,
        )
    if not pending.windows:
        return _nothing_pending(pending)

    head = _registered_head(folder, digest=champion.model.head_digest)
    memory = recorded_memory(revision) if revision else None
    phrases = pending.reference["cleaned"]
    scorer = WindowScorer(head, embed, phrases=phrases, seed=seed, memory=memory)
    pending = pending.completed(scorer)
    judged = list(judge_windows(pending, scorer, pending.baseline(scorer, seed=seed)))
    return _report(engine, pending, judged, scorer, reports=reports, now=now)


def _report(
    engine: Engine,
    pending: PendingWindows,
    judged: Sequence[JudgedWindow],
    scorer: WindowScorer,
    *,
    reports: Path,
    now: datetime,
) -> Verdict:
    """Write the files of every window, store rows and decision, and return the verdict."""
    files = [
        write_window_files(window, pending, judged, scorer, reports=reports) for window in judged
    ]
    verdict = _conclude(pending, judged, files, scorer)
    return _store(engine, verdict, pending, judged, files, now=now)


def _nothing_pending(pending: PendingWindows) -> Verdict:
    reason = f"no complete window of {pending.size} answers since window {pending.number}"
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


def _conclude(
    pending: PendingWindows,
    judged: Sequence[JudgedWindow],
    files: Sequence[Path],
    scorer: WindowScorer,
) -> Verdict:
    """Return the gravest verdict; its evidence details the newest window of that kind."""
    kind = max((window.verdict.kind for window in judged), key=SEVERITY.index)
    index = max(index for index, window in enumerate(judged) if window.verdict.kind == kind)
    worst = judged[index]
    file = files[index]
    evidence = {
        "version": pending.version,
        "window_rows": worst.window.rows,
        "normal_rows": len(worst.baseline),
        "z": worst.z,
        "alarms": list(worst.alarms),
        "windows": [_as_evidence(window) for window in judged],
        "moved_labels": moved_labels(worst.rows, worst.baseline),
        "novel_phrases": novel_phrases(worst.rows, scorer.novelty(worst.rows)),
        "report": {
            "html": str(file),
            "json": str(file.with_suffix(".json")),
            "plot": str(file.with_suffix(".png")),
        },
    }
    reasons = tuple(describe_window(window) for window in judged[-REASONS_SHOWN:])
    return Verdict(kind, reasons, evidence)


def _as_evidence(judged: JudgedWindow) -> dict[str, Any]:
    return {
        "number": judged.window.number,
        "start": judged.start.isoformat(),
        "end": judged.end.isoformat(),
        "rows": len(judged.rows),
        "verdict": judged.verdict.kind,
        "alarms": list(judged.alarms),
        "z": judged.z,
    }


def _store(
    engine: Engine,
    verdict: Verdict,
    pending: PendingWindows,
    judged: Sequence[JudgedWindow],
    files: Sequence[Path],
    *,
    now: datetime,
) -> Verdict:
    reports = [
        _as_report(window, file, version=pending.version)
        for window, file in zip(judged, files, strict=True)
    ]
    classifier = pending.classifier
    with engine.begin() as connection:
        hold_reports(connection, classifier)
        if read_progress(connection, classifier=classifier).number != pending.number:
            reason = "another watch reported these windows at the same time"
            return Verdict("insufficient", (reason,))
        store_reports(connection, reports, classifier=classifier, reported_at=now)
        record_decision(connection, verdict, classifier=classifier, subject="drift", decided_at=now)
    return verdict


def _as_report(judged: JudgedWindow, file: Path, *, version: str) -> DriftReport:
    values = judged.score.values if judged.score else {}
    return DriftReport(
        version=version,
        window_number=judged.window.number,
        window_start=judged.start,
        window_end=judged.end,
        last_request=str(judged.rows["request_id"].iloc[-1]),
        rows=judged.read,
        statistics={name: {"value": values[name], "z": z} for name, z in judged.z.items()},
        alarms=judged.alarms,
        verdict=judged.verdict.kind,
        report=str(file),
        first_sequence=judged.window.first,
        last_sequence=judged.window.last,
        answers=judged.window.answers,
    )
