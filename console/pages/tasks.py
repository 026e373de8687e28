"""Tasks and labels as files, for people who label in another tool."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Annotated, Literal

from fastapi import APIRouter, Form, Query, Request, UploadFile
from fastapi.responses import HTMLResponse, Response
from sqlalchemy.engine import Connection

from console.access.changes import record_change
from console.access.people import Person, Reviewer
from console.champion_labels import champion_labels
from console.rendering import render
from console.state import Classifier, ConsoleState, State
from core.deployments import current_champions
from core.feedback import Labels
from monitoring.labels.feedback import ImportCounts, import_lines
from monitoring.labels.feedback_file import Line, Unlabelled, read_labels
from monitoring.review.drawn import as_drawn
from monitoring.tasks.formats import FORMATS, FormatName, write_tasks
from monitoring.tasks.from_log import labels_given, tasks_to_label
from monitoring.tasks.label_studio import labelling_interface
from monitoring.tasks.to_queue import queue_tasks

router = APIRouter()
REFUSALS_SHOWN = 50
Limit = Annotated[int, Query(ge=1, le=20_000)]


@router.get("/c/{classifier}/tasks")
def tasks(request: Request, classifier: Classifier, person: Reviewer) -> HTMLResponse:
    """Show the forms."""
    return _page(request, classifier)


@router.get("/c/{classifier}/tasks/file")
def download(
    classifier: Classifier,
    state: State,
    person: Reviewer,
    what: Literal["tasks", "labels"] = "tasks",
    format: FormatName = "csv",
    limit: Limit = 1000,
) -> Response:
    """Send the newest answers without a label, or the newest labels."""
    read = tasks_to_label if what == "tasks" else labels_given
    with state.reading() as connection:
        listed = read(connection, classifier, limit=limit)
        labels = champion_labels(connection, classifier) or ()
    text = "".join(write_tasks(listed, format, labels=labels))
    return _attachment(text, f"{classifier}-{what}{FORMATS[format].suffix}")


@router.get("/c/{classifier}/tasks/label-studio.xml")
def interface(classifier: Classifier, state: State, person: Reviewer) -> Response:
    """Send the labelling interface of a Label Studio project with the classifier's labels."""
    with state.reading() as connection:
        labels = champion_labels(connection, classifier) or ()
    return _attachment(labelling_interface(labels), f"{classifier}-label-studio.xml")


@router.post("/c/{classifier}/tasks")
def upload(
    request: Request,
    classifier: Classifier,
    state: State,
    person: Reviewer,
    file: UploadFile,
    format: Annotated[FormatName, Form()] = "csv",
    queue: Annotated[bool, Form()] = False,
) -> HTMLResponse:
    """Store the labels of a file; its other lines are counted or refused with their number.

    The reviewer is the author of labels whose file does not say who gave them. Samples are those
    that the review queue drew. `queue` puts the tasks without a label into the review queue.
    """
    with NamedTemporaryFile(suffix=FORMATS[format].suffix) as kept:
        shutil.copyfileobj(file.file, kept)
        kept.flush()
        lines = list(read_labels(Path(kept.name), format, author=person.name))
    return _page(request, classifier, _store(state, person, classifier, lines, queue=queue))


@dataclass(frozen=True)
class _Stored:
    """What became of a file; `queued` is how many of its tasks are new in the queue."""

    counts: ImportCounts
    queued: int


def _store(
    state: ConsoleState, person: Person, classifier: str, lines: Sequence[Line], *, queue: bool
) -> _Stored:
    now = state.clock()
    waiting = [line.request_id for line in lines if isinstance(line, Unlabelled) and queue]
    with state.changing() as connection:
        counts = import_lines(
            connection,
            iter(as_drawn(connection, lines)),
            received_at=now,
            labels=_known_labels(connection),
        )
        queued = queue_tasks(connection, classifier, filter(None, waiting), now=now)
        after = {
            "accepted": counts.accepted,
            "repeated": counts.repeated,
            "refused": counts.refused,
            "unlabelled": counts.unlabelled,
            "queued": queued,
        }
        record_change(
            connection, person, what="import labels", subject=classifier, after=after, now=now
        )
    return _Stored(counts, queued)


def _known_labels(connection: Connection) -> Labels:
    """Return the labels of every champion: a file may hold answers of several classifiers."""
    labels = {name: champion_labels(connection, name) for name in current_champions(connection)}
    return {name: known for name, known in labels.items() if known is not None}


def _page(request: Request, classifier: str, stored: _Stored | None = None) -> HTMLResponse:
    return render(
        request,
        "tasks.html",
        classifier=classifier,
        formats=FORMATS,
        stored=stored,
        refusals=stored.counts.refusals[:REFUSALS_SHOWN] if stored else (),
    )


def _attachment(text: str, name: str) -> Response:
    """Return a file to save: never a page, whatever phrases it holds."""
    headers = {"content-disposition": f'attachment; filename="{name}"'}
    content = text.encode("utf-8", "replace")
    return Response(content, media_type="application/octet-stream", headers=headers)
