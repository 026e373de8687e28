"""Suspects of wrong labels, and labels to merge or split: those of the newest retraining."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB, insert
from sqlalchemy.engine import Connection

from core.tables.labels import label_report
from core.tables.loop import feedback


@dataclass(frozen=True)
class SourceRow:
    """A row of the source, by which a decision replaces it."""

    id: str
    phrase: str
    occurred_at: datetime
    region: str | None


@dataclass(frozen=True)
class Suspect:
    """A phrase whose label in the source is probably wrong.

    Attributes
    ----------
    given, proposed : the label of the source, and the likeliest other one
    given_share, proposed_share : how likely each is, in [0, 1]
    teaches : whether heads learn the given label
    spoilt_a_week : rows a week that the label spoils
    labels : label -> rows of the phrase
    neighbours : the nearest phrases with their labels, as cleaned, label, similarity
    rows : the rows that have the given label, at least one
    """

    cleaned: str
    given: str
    proposed: str
    given_share: float
    proposed_share: float
    teaches: bool
    spoilt_a_week: float
    labels: Mapping[str, int]
    neighbours: tuple[Mapping[str, Any], ...]
    rows: tuple[SourceRow, ...]

    @classmethod
    def of_json(cls, fields: Mapping[str, Any]) -> Suspect:
        """Return a suspect of the file that stage `suspects` writes."""
        rows = tuple(
            SourceRow(
                row["id"],
                row["phrase"],
                datetime.fromisoformat(row["occurred_at"]),
                row["region"],
            )
            for row in fields["rows"]
        )
        return cls(**{**fields, "neighbours": tuple(fields["neighbours"]), "rows": rows})


@dataclass(frozen=True)
class LabelReport:
    """`judged` pairs of phrase and label, `found` suspects among them, the first ones listed.

    `not_judged` says why the labels of a retraining could not be judged: this one's, or those of
    newer ones that left this report in place; "" otherwise.
    """

    classifier: str
    version: str
    made_at: datetime
    judged: int
    found: int
    suspects: tuple[Suspect, ...]
    labels: Mapping[str, Any]
    not_judged: str = ""


def record_label_report(
    connection: Connection,
    classifier: str,
    *,
    version: str,
    suspects: Mapping[str, Any],
    labels: Mapping[str, Any],
    now: datetime,
) -> None:
    """Replace the report of a classifier by that of a newer retraining. The caller commits."""
    values = {
        "version": version,
        "made_at": now,
        "suspects": dict(suspects),
        "labels": dict(labels),
    }
    query = insert(label_report).values(classifier=classifier, **values)
    connection.execute(query.on_conflict_do_update(index_elements=("classifier",), set_=values))


def mark_not_judged(connection: Connection, classifier: str, *, version: str, reason: str) -> None:
    """Note in the present report that the labels of a newer version could not be judged."""
    marked = sa.type_coerce({"not_measured": f"version {version}: {reason}"}, JSONB)
    query = sa.update(label_report).where(label_report.c.classifier == classifier)
    connection.execute(query.values(suspects=label_report.c.suspects.op("||")(marked)))


def read_label_report(connection: Connection, classifier: str) -> LabelReport | None:
    """Return the report of the newest retraining; None before one."""
    query = sa.select(label_report).where(label_report.c.classifier == classifier)
    row = connection.execute(query).one_or_none()
    if row is None:
        return None
    return LabelReport(
        classifier=classifier,
        version=row.version,
        made_at=row.made_at,
        judged=row.suspects["judged"],
        found=row.suspects["found"],
        suspects=tuple(Suspect.of_json(fields) for fields in row.suspects["suspects"]),
        labels=row.labels,
        not_judged=row.suspects.get("not_measured", ""),
    )


def open_suspects(connection: Connection, classifier: str) -> tuple[Suspect, ...]:
    """Return the suspects of whose rows nobody has said the label since, in their order."""
    report = read_label_report(connection, classifier)
    suspects = () if report is None else report.suspects
    ids = [row.id for suspect in suspects for row in suspect.rows]
    query = sa.select(feedback.c.source_row).where(
        feedback.c.classifier == classifier,
        feedback.c.source_row == sa.any_(sa.literal(ids, sa.ARRAY(sa.Text))),
    )
    decided = set(connection.scalars(query))
    return tuple(
        suspect
        for suspect in suspects
        if suspect.rows and not any(row.id in decided for row in suspect.rows)
    )


def suspect_request(classifier: str, row: SourceRow) -> str:
    """Return the request id under which a decision on a source row is stored.

    It names the classifier: one row of a source has a label for each of several classifiers.
    """
    return f"{classifier}/{row.id}"
