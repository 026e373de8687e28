"""Watch one classifier: judge every complete window of its champion's log that was not judged yet."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sqlalchemy.engine import Connection, Engine

from core.contracts import Deployment, Verdict
from core.decisions import record_decision
from core.deployments import current_champions
from core.errors import HeadRefused
from core.params import ClassifierParams
from monitoring.baseline import JOIN_AT_MOST, Baseline, since_drift
from monitoring.charts import draw_statistics
from monitoring.drift import Score, judge, score, shortage
from monitoring.drift_reports import DriftReport, drift_began, read_reports, store_reports
from monitoring.evidence import moved_labels, novel_phrases
from monitoring.reports import Headline, describe, write_report
from monitoring.scoring import WindowScorer, log_rows, read_reference
from monitoring.windows import Key, Window, read_log, read_window, read_windows, window_size
from pipelines.model.embedder import Embed
from pipelines.model.head_file import Head, load_head
from pipelines.model_store import problem_of

SEVERITY = ("insufficient", "steady", "warning", "drift")


@dataclass(frozen=True)
class Task:
    """What there is to judge: the champion and its reference, the windows reported before, the pending ones, the past ones that join."""

    classifier: str
    version: str
    reference: pd.DataFrame
    size: int
    before: list[DriftReport]
    pending: list[Window]
    rows: list[pd.DataFrame]
    calm: list[pd.DataFrame]


@dataclass(frozen=True)
class Finding:
    """One window judged; `score` is None where there was too little to compare with."""

    window: Window
    rows: pd.DataFrame
    normal: pd.DataFrame
    score: Score | None
    verdict: Verdict

    @property
    def alarms(self) -> tuple[str, ...]:
        return self.score.alarms if self.score else ()

    @property
    def span(self) -> tuple[datetime, datetime]:
        return self.rows["occurred_at"].iloc[0].to_pydatetime(), self.rows["occurred_at"].iloc[
            -1
        ].to_pydatetime()


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
    """Return the gravest verdict of the pending windows: "drift", "warning", "steady", or "insufficient" when nothing could be judged.

    Each window gets a row in `drift_report`, an Evidently report and a plot under `reports`; the verdict a row in `decision`.
    A second call without new answers changes nothing and returns "insufficient": what was told once is not told again.

    Parameters
    ----------
    models : model store; `<classifier>/<version>/` of the champion holds the head and reference.parquet
    seed : draws the past windows; equal rows and seed give an equal verdict
    """
    with engine.connect() as connection:
        champion = current_champions(connection).get(classifier)
        if champion is None:
            return Verdict("insufficient", ("no version answers yet",))
        folder = models / classifier / champion.model.version
        task = _gather(
            connection,
            champion,
            read_reference(folder / "reference.parquet"),
            window_rows=block.drift.window_rows,
            now=now,
        )
    if not task.pending:
        told = f"no complete window of {task.size} answers since window {len(task.before)}"
        return Verdict("insufficient", (told,), {"version": task.version, "window_rows": task.size})
    meter = WindowScorer(
        _registered_head(folder, digest=champion.model.head_digest),
        embed,
        phrases=task.reference["cleaned"],
        seed=seed,
    )
    task = replace(
        task, rows=list(map(meter.completed, task.rows)), calm=list(map(meter.completed, task.calm))
    )
    normal = _normal(task, meter, seed=seed)
    findings = list(_judge_windows(task, meter, normal))
    files = [_write_files(finding, task, findings, meter, reports=reports) for finding in findings]
    verdict = _conclude(task, findings, files, meter)
    return _store(engine, verdict, task, findings, files, now=now)


def _registered_head(folder: Path, *, digest: str) -> Head:
    """Raises `HeadRefused` for another head than the one that answers."""
    if problem := problem_of(folder, digest=digest):
        raise HeadRefused(
            f"the champion's head in {folder}",
            came=problem,
            do="restore the head file, or roll back",
        )
    return load_head(folder)


def _gather(
    connection: Connection,
    champion: Deployment,
    reference: pd.DataFrame,
    *,
    window_rows: int,
    now: datetime,
) -> Task:
    classifier, version = champion.model.classifier, champion.model.version
    reference = since_drift(
        reference, drift_began(connection, classifier=classifier, before=version)
    )
    size = window_size(reference["weight"].sum(), window_rows=window_rows)
    before = read_reports(connection, classifier=classifier, version=version)
    after, newest = (before[-1].last, before[-1].window_number) if before else (None, 0)
    pending = read_windows(
        connection,
        classifier=classifier,
        version=version,
        size=size,
        reported=newest,
        after=after,
        until=now,
    )
    rows = _read_rows(connection, champion, pending, after) if pending else []
    calm = _read_calm(connection, champion, before) if pending else []
    return Task(classifier, version, reference, size, before, pending, rows, calm)


def _read_rows(
    connection: Connection, champion: Deployment, windows: Sequence[Window], after: Key | None
) -> list[pd.DataFrame]:
    """The rows of each window, from one query for all."""
    end = max(window.first + window.rows for window in windows)
    log = read_log(
        connection,
        classifier=champion.model.classifier,
        version=champion.model.version,
        after=after,
        rows=end,
    )
    rows = log_rows(log)
    return [
        rows.iloc[window.first : window.first + window.rows].reset_index(drop=True)
        for window in windows
    ]


def _read_calm(
    connection: Connection, champion: Deployment, before: Sequence[DriftReport]
) -> list[pd.DataFrame]:
    """The newest windows without alarm, of those that the log still holds whole: rows that people corrected outlive their window."""
    classifier, version = champion.model.classifier, champion.model.version
    calm = [report for report in before if not report.alarms][-JOIN_AT_MOST:]
    held = [
        read_window(
            connection,
            classifier=classifier,
            version=version,
            start=one.window_start,
            last=one.last,
            rows=one.rows,
        )
        for one in calm
    ]
    return [
        log_rows(rows) for rows, report in zip(held, calm, strict=True) if len(rows) == report.rows
    ]


def _normal(task: Task, meter: WindowScorer, *, seed: int) -> Baseline:
    normal = Baseline(task.reference, meter, seed=seed)
    for window in task.calm:
        normal.join(window)
    return normal


def _judge_windows(task: Task, meter: WindowScorer, normal: Baseline) -> Iterator[Finding]:
    """Judge in order; a window without alarm becomes part of what is normal for the next."""
    alarms = task.before[-1].alarms if task.before else ()
    for window, rows in zip(task.pending, task.rows, strict=True):
        finding = _judge_window(window, rows, meter, normal, before=alarms)
        alarms = finding.alarms
        if not alarms:
            normal.join(rows)
        yield finding


def _judge_window(
    window: Window,
    rows: pd.DataFrame,
    meter: WindowScorer,
    normal: Baseline,
    *,
    before: Sequence[str],
) -> Finding:
    lack = shortage(normal.pool, size=window.rows)
    if lack:
        return Finding(window, rows, normal.rows, None, Verdict("insufficient", (lack,)))
    scored = score(meter.answers(rows), calibration=normal.calibration(window.rows))
    return Finding(window, rows, normal.rows, scored, judge(scored.alarms, before=before))


def _write_files(
    finding: Finding, task: Task, findings: Sequence[Finding], meter: WindowScorer, *, reports: Path
) -> Path:
    """Write report and plot of one window; return the path of the HTML. The plot beside it has its name and .png."""
    number = finding.window.number
    file = reports / "drift" / task.classifier / task.version / f"window-{number:04d}.html"
    headline = Headline(
        task.classifier,
        task.version,
        number,
        finding.span[1],
        finding.verdict.kind,
        (_sentence(finding),),
    )
    write_report(
        describe(finding.rows, novelty=meter.novelty(finding.rows)), _described_normal(finding.normal, meter),
        headline=headline, file=file, workspace=reports / "evidently",
    )  # fmt: skip
    draw_statistics(
        _heights(task, findings, number),
        title=f"{task.classifier}, version {task.version}",
        file=file.with_suffix(".png"),
    )
    return file


def _described_normal(normal: pd.DataFrame, meter: WindowScorer) -> pd.DataFrame | None:
    """Each row as often as it stands for."""
    if normal.empty:
        return None
    repeated = normal.loc[
        np.repeat(normal.index, normal["weight"].round().astype(int))
    ].reset_index(drop=True)
    return describe(repeated, novelty=meter.novelty(repeated))


def _heights(
    task: Task, findings: Sequence[Finding], number: int
) -> list[tuple[int, dict[str, float]]]:
    """Window number and z of every window up to `number`."""
    past = [
        (report.window_number, {name: told["z"] for name, told in report.statistics.items()})
        for report in task.before
    ]
    new = [
        (finding.window.number, finding.score.z if finding.score else {})
        for finding in findings
        if finding.window.number <= number
    ]
    return past + new


def _sentence(finding: Finding) -> str:
    start, end = finding.span
    told = "; ".join(finding.verdict.reasons)
    heights = (
        ", ".join(f"{name} z {finding.score.z[name]:.1f}" for name in finding.alarms)
        if finding.score
        else ""
    )
    return (
        f"window {finding.window.number} ({start:%Y-%m-%d %H:%M} to {end:%Y-%m-%d %H:%M}, {len(finding.rows)} answers): {told}"
        + (f" ({heights})" if heights else "")
    )


def _conclude(
    task: Task, findings: Sequence[Finding], files: Sequence[Path], meter: WindowScorer
) -> Verdict:
    """The gravest verdict; the evidence tells of every window, and most of the newest of the gravest."""
    kind = max((finding.verdict.kind for finding in findings), key=SEVERITY.index)
    chosen = max(index for index, finding in enumerate(findings) if finding.verdict.kind == kind)
    worst, file = findings[chosen], files[chosen]
    evidence = {
        "version": task.version, "window_rows": worst.window.rows, "normal_rows": len(worst.normal),
        "z": worst.score.z if worst.score else {}, "alarms": list(worst.alarms),
        "windows": [_told(finding) for finding in findings],
        "moved_labels": moved_labels(worst.rows, worst.normal),
        "novel_phrases": novel_phrases(worst.rows, meter.novelty(worst.rows)),
        "report": {"html": str(file), "json": str(file.with_suffix(".json")), "plot": str(file.with_suffix(".png"))},
    }  # fmt: skip
    return Verdict(kind, tuple(_sentence(finding) for finding in findings[-10:]), evidence)


def _told(finding: Finding) -> dict[str, Any]:
    start, end = finding.span
    return {
        "number": finding.window.number, "start": start.isoformat(), "end": end.isoformat(), "rows": len(finding.rows),
        "verdict": finding.verdict.kind, "alarms": list(finding.alarms), "z": finding.score.z if finding.score else {},
    }  # fmt: skip


def _store(
    engine: Engine,
    verdict: Verdict,
    task: Task,
    findings: Sequence[Finding],
    files: Sequence[Path],
    *,
    now: datetime,
) -> Verdict:
    reports = [_report(finding, file) for finding, file in zip(findings, files, strict=True)]
    with engine.begin() as connection:
        if not store_reports(
            connection, reports, classifier=task.classifier, version=task.version, reported_at=now
        ):
            return Verdict(
                "insufficient", ("another watch told of these windows at the same time",)
            )
        record_decision(
            connection, verdict, classifier=task.classifier, subject="drift", decided_at=now
        )
    return verdict


def _report(finding: Finding, file: Path) -> DriftReport:
    (start, end), last = finding.span, str(finding.rows["request_id"].iloc[-1])
    scored = finding.score
    statistics = (
        {name: {"value": scored.values[name], "z": scored.z[name]} for name in scored.z}
        if scored
        else {}
    )
    verdict = finding.verdict.kind
    return DriftReport(
        finding.window.number,
        start,
        end,
        last,
        len(finding.rows),
        statistics,
        finding.alarms,
        verdict,
        str(file),
    )
