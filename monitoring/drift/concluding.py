"""What a watch concludes from the windows it judged: one verdict, and a row per window."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from core.contracts import Verdict
from monitoring.drift.evidence import moved_labels, novel_phrases
from monitoring.drift.judging import JudgedWindow
from monitoring.drift.label_evidence import LabelEvidence
from monitoring.drift.moved import Labelled, label_requests, moved_phrases
from monitoring.drift.novel_clusters import novel_clusters
from monitoring.drift.power import Power
from monitoring.windows.files import describe_window
from monitoring.windows.pending import PendingWindows
from monitoring.windows.reports import DriftReport
from monitoring.windows.scoring import WindowScorer

SEVERITY = ("insufficient", "steady", "warning", "broken_client", "needs_labels", "drift")
REASONS_SHOWN = 10
WAIT = "wait for more answers, or set a smaller drift.window_rows"
"""What a person does about windows that are too few or too small to judge."""


def conclude(
    pending: PendingWindows,
    judged: Sequence[JudgedWindow],
    files: Sequence[Path],
    scorer: WindowScorer,
    *,
    labelled: Labelled,
    power: Power | None,
) -> list[Verdict]:
    """Return the gravest verdict, and after a drift the request for labels of a later window.

    The evidence of each details the newest window of that kind, and names a broken client whatever
    the kind is. `power` is that of the newest window.
    """
    kinds = [window.verdict.kind for window in judged]
    chosen = [_newest_of(max(kinds, key=SEVERITY.index), kinds)]
    if "drift" in kinds and "needs_labels" in kinds[chosen[0] :]:
        chosen.append(_newest_of("needs_labels", kinds))
    shared = {
        "version": pending.version,
        "power": power.as_evidence() if power else None,
        "windows": [_as_evidence(window) for window in judged],
        "broken_client": next(("; ".join(w.notes) for w in reversed(judged) if w.notes), None),
    }
    return [
        Verdict(
            kinds[index],
            _reasons(kinds[index], judged),
            {**shared, **_details(judged[index], files[index], scorer, labelled)},
        )
        for index in chosen
    ]


def _newest_of(kind: str, kinds: Sequence[str]) -> int:
    return max(index for index, each in enumerate(kinds) if each == kind)


def _details(
    worst: JudgedWindow, file: Path, scorer: WindowScorer, labelled: Labelled
) -> dict[str, Any]:
    return {
        "window_rows": worst.window.rows,
        "normal_rows": len(worst.baseline),
        "z": worst.z,
        "statistics": worst.statistics,
        "alarms": list(worst.alarms),
        "began": worst.began and worst.began.isoformat(),
        "moved_labels": moved_labels(worst.rows, worst.baseline),
        "novel_phrases": novel_phrases(worst.rows, scorer.novelty(worst.rows)),
        **_needed_labels(worst, labelled),
        "report": {
            "html": str(file),
            "json": str(file.with_suffix(".json")),
            "plot": str(file.with_suffix(".png")),
        },
    }


def _reasons(kind: str, judged: Sequence[JudgedWindow]) -> tuple[str, ...]:
    """Return a sentence per window; one for all where none could be judged, with its notes."""
    if kind != "insufficient":
        return tuple(describe_window(window) for window in judged[-REASONS_SHOWN:])
    newest = judged[-1]
    answers = sum(window.read for window in judged)
    windows = f"{len(judged)} windows" if len(judged) > 1 else "1 window"
    lack = "; ".join(newest.verdict.reasons)
    sentence = f"{windows} of {answers} answers could not be judged: {lack}; {WAIT}"
    return (sentence, *dict.fromkeys(note for window in judged for note in window.notes))


def _needed_labels(worst: JudgedWindow, labelled: Labelled) -> dict[str, Any]:
    """Return which phrases moved, and which of them need labels; nothing of a calm window."""
    if worst.verdict.kind != "needs_labels":
        return dict(worst.verdict.evidence)
    return {
        **worst.verdict.evidence,
        "label_requests": label_requests(worst.moved, labelled),
        "moved_phrases": worst.moved.round({"rows": 1}).to_dict("records"),
    }


def _as_evidence(judged: JudgedWindow) -> dict[str, Any]:
    return {
        "number": judged.window.number,
        "start": judged.start.isoformat(),
        "end": judged.end.isoformat(),
        "rows": len(judged.rows),
        "verdict": judged.verdict.kind,
        "alarms": list(judged.alarms),
        "z": judged.z,
        "notes": list(judged.notes),
        "abstained_share": judged.refused,
    }


def as_report(
    judged: JudgedWindow,
    file: Path,
    *,
    version: str,
    scorer: WindowScorer,
    labels: LabelEvidence | None,
) -> DriftReport:
    """Return the row of `drift_report` of one window; `labels` is what they say at its watch."""
    return DriftReport(
        version=version,
        window_number=judged.window.number,
        window_start=judged.start,
        window_end=judged.end,
        last_request=str(judged.rows["request_id"].iloc[-1]),
        rows=judged.read,
        statistics=judged.statistics,
        alarms=judged.alarms,
        verdict=judged.verdict.kind,
        report=str(file),
        first_sequence=judged.window.first,
        last_sequence=judged.window.last,
        answers=judged.window.answers,
        accepted_window=judged.nearest.window,
        evidence=_for_review(judged, scorer, labels),
    )


def _for_review(
    judged: JudgedWindow, scorer: WindowScorer, labels: LabelEvidence | None
) -> dict[str, Any]:
    """Return what a person needs to see of a window; the clusters of an alarmed one alone."""
    shown = {
        "reasons": list(judged.verdict.reasons),
        "notes": list(judged.notes),
        "abstained_share": judged.refused,
        "label_test": labels.as_evidence() if labels else None,
        "moved_labels": moved_labels(judged.rows, judged.baseline),
        "novel_phrases": novel_phrases(judged.rows, scorer.novelty(judged.rows)),
    }
    if not judged.alarms:
        return shown
    moved = judged.moved if len(judged.moved) else moved_phrases(judged.rows, judged.baseline)
    return {
        **shown,
        "moved_phrases": moved.round({"rows": 1}).to_dict("records"),
        "novel_clusters": novel_clusters(judged.rows, judged.baseline, scorer),
    }
