"""A person reviews a window: the answer is stored, and a real drift is called."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from core.contracts import Verdict
from core.decisions import record_decision
from core.errors import InvalidReview
from core.tables.loop import decision, drift_report
from monitoring.drift.labelled import labelled_by
from monitoring.drift.moved import label_requests
from monitoring.drift.reviewed import read_reviewed
from monitoring.drift.reviews import ANSWERS, FAULT, REAL, Review, append_review, newest_reviews
from monitoring.outcomes import BEGINS
from monitoring.review.withdrawing import withdraw_faulty
from monitoring.windows.reports import DriftReport, earlier_alarms, hold_reports, run_start

RETRAIN = "retrain"
LABELS = "labels"
ACTIONS = (RETRAIN, LABELS)
"""What is done about a real drift."""
LONGEST_NOTE = 2000


def find_window(connection: Connection, classifier: str, window: int) -> DriftReport | None:
    """Return the report of a window by arrival, with its evidence; None without one."""
    table = drift_report.c
    columns = [table[name] for name in DriftReport.__dataclass_fields__]
    row = (
        connection.execute(
            sa.select(*columns).where(
                table.classifier == classifier,
                table.window_number == window,
                table.first_sequence.is_not(None),
            )
        )
        .mappings()
        .one_or_none()
    )
    if row is None:
        return None
    evidence = row["evidence"] or {}
    return DriftReport(**{**row, "alarms": tuple(row["alarms"]), "evidence": evidence})


def review_window(
    connection: Connection,
    review: Review,
    report: DriftReport,
    *,
    classifier: str,
    action: str = "",
) -> tuple[Review | None, Verdict | None]:
    """Store the review; return the one before it, and the call where the drift is real.

    `action` is one of ACTIONS for a real drift, "" otherwise. The call is recorded like that of a
    watch: until a gate has judged a fit since, or labels came, each watch looks at it again. A
    fault withdraws the items of the review queue whose answers lie in the window. The caller
    commits. The note stays out of it: Prefect gets the reasons, and a note may quote phrases.
    Raises `InvalidReview`.
    """
    _require_valid(review, report, action)
    hold_reports(connection, classifier)
    before = newest_reviews(connection, classifier).get(review.window)
    append_review(connection, review, report, classifier=classifier)
    if review.verdict == FAULT:
        withdraw_faulty(connection, classifier, now=review.reviewed_at)
    if review.verdict != REAL:
        return before, None
    call = _retraining if action == RETRAIN else _request
    verdict = call(connection, classifier, review, report)
    record_decision(
        connection,
        verdict,
        classifier=classifier,
        subject="drift",
        decided_at=review.reviewed_at,
    )
    return before, verdict


def first_call(connection: Connection, classifier: str, window: int) -> int | None:
    """Return the first decision by which people called for a retraining because of a window.

    Two people, or one who clicks twice, mean the same retraining. One that ended, whatever came of
    it, answers what was called before. Returns the id of the decision, None without one.
    """
    table = decision.c
    of_classifier = table.classifier == classifier
    gate = table.subject == "gate"
    ended = sa.or_(gate, sa.and_(table.subject == "retraining", table.kind != BEGINS))
    last = sa.select(sa.func.max(table.id)).where(of_classifier, ended).scalar_subquery()
    query = sa.select(sa.func.min(table.id)).where(
        of_classifier,
        table.subject == "drift",
        table.kind == "drift",
        table.evidence["by"].is_not(None),
        table.evidence["windows"][0]["number"].as_integer() == window,
        table.id > sa.func.coalesce(last, 0),
    )
    number: int | None = connection.scalar(query)
    return number


def _require_valid(review: Review, report: DriftReport, action: str) -> None:
    if review.verdict not in ANSWERS:
        raise InvalidReview(
            "an answer about the window",
            came=repr(review.verdict),
            do=f"choose one of {', '.join(ANSWERS)}",
        )
    if len(review.note) > LONGEST_NOTE:
        raise InvalidReview(
            f"a note of at most {LONGEST_NOTE} characters",
            came=f"{len(review.note)} characters",
            do="write a shorter one",
        )
    if "\x00" in review.note:
        raise InvalidReview("a note of text", came="a null character", do="leave it out")
    if review.verdict == REAL and action not in ACTIONS:
        raise InvalidReview(
            "an action for a real drift", came=repr(action), do=f"choose {' or '.join(ACTIONS)}"
        )
    if action == LABELS and review.verdict == REAL and not report.evidence.get("moved_phrases"):
        raise InvalidReview(
            "phrases that moved in this window",
            came="none",
            do="retrain instead, or label a random sample",
        )


def _retraining(
    connection: Connection, classifier: str, review: Review, report: DriftReport
) -> Verdict:
    evidence = _evidence(connection, classifier, "drift", review, report)
    return Verdict("drift", (review.sentence,), evidence)


def _request(
    connection: Connection, classifier: str, review: Review, report: DriftReport
) -> Verdict:
    moved = pd.DataFrame(report.evidence["moved_phrases"])
    labelled = labelled_by(connection, classifier, moment=review.reviewed_at)
    evidence = {
        **_evidence(connection, classifier, "needs_labels", review, report),
        "label_requests": label_requests(moved, labelled),
        "moved_phrases": report.evidence["moved_phrases"],
    }
    return Verdict("needs_labels", (review.sentence,), evidence)


def _evidence(
    connection: Connection, classifier: str, kind: str, review: Review, report: DriftReport
) -> Mapping[str, Any]:
    reviewed = read_reviewed(connection, classifier)
    before = [each for each in reviewed.reports if each.window_number < report.window_number]
    earlier = earlier_alarms(before, report.version, harmless=reviewed.harmless)
    began = run_start(report.window_start, report.alarms, earlier)
    window = {
        "number": report.window_number,
        "start": report.window_start.isoformat(),
        "end": report.window_end.isoformat(),
        "rows": report.rows,
        "verdict": kind,
        "alarms": list(report.alarms),
        "z": {name: entry["z"] for name, entry in report.statistics.items()},
    }
    return {
        "version": report.version,
        "by": review.author,
        "began": began.isoformat(),
        "windows": [window],
    }
