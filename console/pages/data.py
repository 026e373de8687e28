"""The snapshots that a classifier learnt from: counts, label mix, what changed, and the checks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import sqlalchemy as sa
from fastapi import APIRouter, Request
from fastapi import Path as PathParameter
from fastapi.responses import HTMLResponse
from sqlalchemy.engine import Connection

from console.access.people import Viewer
from console.rendering import render
from console.state import Classifier, ConsoleState, State
from core.contracts import is_plain_name
from core.errors import UnknownVersion
from core.params.schema import SourceParams
from core.snapshots import recorded_snapshots
from monitoring.label_mix import compare_labels
from monitoring.versions import RUN_TAG
from pipelines.checks import REPORT, RESULT

router = APIRouter(prefix="/c/{classifier}/data")

Number = Annotated[int, PathParameter(ge=1, le=2**63 - 1)]
CHECKS_POLICY = (
    "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'self'"
)
"""The page of the checks shows phrases of others: it runs nothing and belongs to no origin."""


@router.get("")
def snapshots(
    request: Request, classifier: Classifier, state: State, person: Viewer
) -> HTMLResponse:
    """Show every snapshot, newest first."""
    with state.reading() as connection:
        rows = _recorded(state, connection, classifier)
    return render(
        request,
        "snapshots.html",
        classifier=classifier,
        rows=[
            (row, older, _checks(state, row))
            for row, older in zip(rows, [*rows[1:], None], strict=False)
        ],
    )


@router.get("/{number}")
def snapshot(
    request: Request, classifier: Classifier, number: Number, state: State, person: Viewer
) -> HTMLResponse:
    """Show one snapshot beside the one before."""
    with state.reading() as connection:
        rows = _recorded(state, connection, classifier)
    row, older = _snapshot_and_previous(rows, number)
    column = _source(state, classifier).label
    labels = row.summary["labels"].get(column, {})
    before = older.summary["labels"].get(column, {}) if older else {}
    return render(
        request,
        "snapshot.html",
        classifier=classifier,
        row=row,
        older=older,
        column=column,
        mix=compare_labels(labels, before),
        checks=_checks(state, row),
    )


@router.get("/{number}/checks")
def checks(classifier: Classifier, number: Number, state: State, person: Viewer) -> HTMLResponse:
    """Return the page of the snapshot's checks, for a frame that may run nothing."""
    with state.reading() as connection:
        row, _ = _snapshot_and_previous(_recorded(state, connection, classifier), number)
    folder = _checks_folder(state, row)
    if folder is None or not (folder / REPORT).is_file():
        raise UnknownVersion(
            f"the page of the checks of snapshot {number}",
            came="no file in this home",
            do="see the artifact `checks` of a version that learnt from it, in MLflow",
        )
    html = (folder / REPORT).read_text(encoding="utf-8", errors="replace")
    return HTMLResponse(html, headers={"content-security-policy": CHECKS_POLICY})


def _source(state: ConsoleState, classifier: str) -> SourceParams:
    """Return where the rows of a classifier come from. Raises `UnknownClassifier`."""
    return state.context.params.classifier(classifier).source


def _recorded(state: ConsoleState, connection: Connection, classifier: str) -> list[sa.Row[Any]]:
    """Return the snapshots that hold labels of the classifier, newest first."""
    source = _source(state, classifier)
    rows = recorded_snapshots(connection, source.dataset)
    return [row for row in rows if source.label in row.summary["labels"]]


def _snapshot_and_previous(
    rows: list[sa.Row[Any]], number: int
) -> tuple[sa.Row[Any], sa.Row[Any] | None]:
    """Return a snapshot and the one before it. Raises `UnknownVersion`."""
    for row, older in zip(rows, [*rows[1:], None], strict=False):
        if row.id == number:
            return row, older
    known = ", ".join(str(row.id) for row in rows[:10]) or "none yet"
    raise UnknownVersion("the number of a snapshot", came=str(number), do=f"use one of {known}")


def _checks_folder(state: ConsoleState, row: sa.Row[Any]) -> Path | None:
    run = row.git_tag.removeprefix(RUN_TAG)
    return state.settings.reports / "checks" / run if is_plain_name(run) else None


def _checks(state: ConsoleState, row: sa.Row[Any]) -> str | None:
    """Return the verdict of the checks, None where this home does not have it."""
    folder = _checks_folder(state, row)
    try:
        result = json.loads((folder / RESULT).read_text(encoding="utf-8")) if folder else {}
        return str(result["verdict"])
    except (OSError, ValueError, KeyError):
        return None
