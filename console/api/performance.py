"""How good the answers of a classifier were, as JSON or CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query
from fastapi.responses import JSONResponse, Response
from sqlalchemy.engine import Engine

from console.access.people import Viewer
from console.state import Classifier, State
from core.errors import InvalidPeriod
from monitoring.performance.answer_counts import count_some_answers
from monitoring.performance.figures import Dimension, measure_by
from monitoring.performance.periods import Period, read_period
from monitoring.performance.report import read_dimension, record

router = APIRouter()
FORMATS = ("json", "csv")

From = Annotated[str, Query(alias="from", description="The first day, as 2026-01-31.")]
To = Annotated[str, Query(alias="to", description="The first day that no longer counts.")]
By = Annotated[str, Query(alias="by", description="day, week, month, version, region or label.")]
Format = Annotated[str, Query(alias="format", description="json or csv.")]


@router.get("/api/{classifier}/performance")
def performance(
    classifier: Classifier,
    state: State,
    person: Viewer,
    since: From = "",
    until: To = "",
    by: By = "week",
    form: Format = "json",
) -> Response:
    """Return one record per group: its answers, and estimates with their 95 % intervals.

    `accuracy`, `weighted_f1` and `coverage` stand for all answers of the group; they are null
    where no labels do (`basis` is none). `corrections` counts labels that were given because
    somebody looked at a wrong answer. By label, accuracy is precision, and `recall` is given.
    By version, what a shadow would have answered is a group of its own. `counted` is false while
    answers that arrived are not counted yet. Days are those of UTC; by default, the last 90.
    """
    dimension = read_dimension(by)
    if form not in FORMATS:
        raise InvalidPeriod("json or csv for `format`", came=repr(form[:40]), do="choose one")
    now = state.clock()
    period = read_period(since, until, today=now.date())
    records, is_counted = _measure(
        state.context.engine, classifier, by=dimension, period=period, now=now
    )
    if form == "csv":
        return _csv(records, name=f"{classifier}-by-{dimension}.csv")
    head = {"classifier": classifier, "from": str(period.since), "to": str(period.until)}
    rest = {"by": dimension, "counted": is_counted, "performance": records}
    return JSONResponse(head | rest)


def _measure(
    engine: Engine, classifier: str, *, by: Dimension, period: Period, now: datetime
) -> tuple[list[dict[str, Any]], bool]:
    """Return the records, and whether every answer that arrived is counted in them."""
    counted = count_some_answers(engine, classifier, now=now)
    with engine.connect() as connection:
        rows = measure_by(
            connection,
            classifier,
            by=(by,),
            period=period,
            counted=counted.until,
            shadows=by == "version",
        )
    return [record(row, (by,)) for row in rows], counted.complete


def _csv(records: Sequence[dict[str, Any]], *, name: str) -> Response:
    text = io.StringIO()
    if records:
        writer = csv.DictWriter(text, fieldnames=list(records[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(records)
    headers = {"content-disposition": f'attachment; filename="{name}"'}
    return Response(text.getvalue(), media_type="text/csv; charset=utf-8", headers=headers)
