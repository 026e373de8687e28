"""The newest drift reports as people and the gate left them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy.engine import Connection

from monitoring.drift.calling import HARMLESS
from monitoring.drift.reviews import FAULT, REAL, calling_window, newest_reviews, reviewed_as
from monitoring.windows.accepted import AcceptedTraffic, accepted_traffic, accepted_windows, calmed
from monitoring.windows.reports import DriftReport, read_reports


@dataclass(frozen=True)
class ReviewedReports:
    """The newest reports without faults of the data; those of accepted traffic are steady.

    `groups` is the accepted traffic; `harmless` and `real` are the windows that people called so.
    """

    reports: list[DriftReport]
    groups: list[AcceptedTraffic]
    harmless: frozenset[int]
    real: frozenset[int]

    @property
    def accepted_numbers(self) -> set[int]:
        return {report.window_number for group in self.groups for report in group.reports}


def read_reviewed(connection: Connection, classifier: str) -> ReviewedReports:
    """Read the newest reports of a classifier, with all that people and the gate said of them."""
    reviews = newest_reviews(connection, classifier)
    faults = reviewed_as(reviews, FAULT)
    stored = read_reports(connection, classifier=classifier)
    reports = [report for report in stored if report.window_number not in faults]
    accepted = accepted_windows(connection, classifier, reviews)
    others = reviewed_as(reviews, HARMLESS, REAL)
    groups = accepted_traffic(reports, accepted, others=others)
    return ReviewedReports(
        calmed(reports, groups),
        groups,
        frozenset(reviewed_as(reviews, HARMLESS)),
        frozenset(reviewed_as(reviews, REAL)),
    )


def closed_by_people(
    connection: Connection, classifier: str, kind: str, evidence: Mapping[str, Any]
) -> bool:
    """Return whether a call of this kind and evidence is not real: somebody said so of its window,
    or accepted such traffic.
    """
    window = calling_window(kind, evidence)
    if window is None:
        return False
    review = newest_reviews(connection, classifier).get(window)
    if review is not None:
        return review.verdict != REAL
    return window in read_reviewed(connection, classifier).accepted_numbers
