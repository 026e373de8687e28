"""One answer: what was logged, where it came from, the same answer computed again, and its fix."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Annotated
from urllib.parse import quote

from fastapi import APIRouter, Form, Request
from fastapi.responses import HTMLResponse, RedirectResponse

from console.access.changes import record_change
from console.access.people import Reviewer, Viewer
from console.champion_labels import champion_labels
from console.rendering import render
from console.state import Classifier, ConsoleState, State
from core.contracts import ANSWERING, Inference
from core.errors import Busy, UnknownRequest
from core.feedback import NONE_OF_THESE, record_feedback
from flows.outages import named_outages
from lineage.history_facts import received_feedback
from lineage.lineage import request_lineage
from lineage.page import replay_rows, request_rows
from lineage.replay import logged_rows, replay
from lineage.why import explain_answer

router = APIRouter(prefix="/c/{classifier}/answers/{request_id}")
_REPLAYING = Lock()
"""A replay loads a head and perhaps an embedder: one at a time."""


@router.get("")
def receipt(
    request: Request, classifier: Classifier, request_id: str, state: State, person: Viewer
) -> HTMLResponse:
    """Show what was logged of an answer, and every label that people gave it."""
    rows = _logged(state, classifier, request_id)
    with state.reading() as connection:
        labels = champion_labels(connection, classifier)
    return render(
        request,
        "answer.html",
        classifier=classifier,
        request_id=request_id,
        rows=rows,
        answered=rows[0].role in ANSWERING,
        feedback=received_feedback(state.context, request_id),
        labels=labels or (),
    )


@router.get("/lineage")
def lineage(
    request: Request, classifier: Classifier, request_id: str, state: State, person: Viewer
) -> HTMLResponse:
    """Show where the answer came from: version, snapshot, code, query, checks."""
    _logged(state, classifier, request_id)
    with named_outages():
        facts = request_lineage(state.context, request_id)
    return _facts(request, classifier, request_id, "Lineage", request_rows(facts))


@router.post("/replay")
def replayed(
    request: Request, classifier: Classifier, request_id: str, state: State, person: Viewer
) -> HTMLResponse:
    """Compute the answer again with the version and the embedder that gave it."""
    _logged(state, classifier, request_id)
    with _one_at_a_time():
        rows = replay_rows(replay(state.context, request_id))
    return _facts(request, classifier, request_id, "Replay", rows)


@router.post("/why")
def why(
    request: Request, classifier: Classifier, request_id: str, state: State, person: Viewer
) -> HTMLResponse:
    """Show what each word added to the lead of the answer, and the nearest training phrases."""
    _logged(state, classifier, request_id)
    with named_outages():
        reasons = explain_answer(state.context, request_id)
    return render(
        request,
        "answer_why.html",
        classifier=classifier,
        request_id=request_id,
        reasons=reasons,
    )


@contextmanager
def _one_at_a_time() -> Iterator[None]:
    """Allow one computation of an old answer; name what the database or MLflow raises."""
    if not _REPLAYING.acquire(blocking=False):
        raise Busy("no other replay", came="one in progress", do="try again in a moment")
    try:
        with named_outages():
            yield
    finally:
        _REPLAYING.release()


@router.post("/fix")
def fix(
    classifier: Classifier,
    request_id: str,
    state: State,
    person: Reviewer,
    label: Annotated[str, Form(max_length=500)] = "",
    none: Annotated[bool, Form()] = False,
) -> RedirectResponse:
    """Store the right label of an answer, or that no label is right.

    The answer's own label confirms it. "None of these" confirms a refusal; a label says that it was
    a false one.
    """
    answer = _logged(state, classifier, request_id)[0]
    received = received_feedback(state.context, request_id)
    label = "" if none else label
    kind = NONE_OF_THESE if none else _kind_of(answer, label)
    with state.changing() as connection:
        labels = champion_labels(connection, classifier)
        record_feedback(
            connection,
            request_id=request_id,
            label=label,
            author=person.name,
            received_at=state.clock(),
            labels=None if labels is None else {classifier: labels},
            kind=kind,
        )
        record_change(
            connection,
            person,
            what="label",
            subject=f"{classifier} {request_id}",
            before={"label": received[-1]["label"] if received else None},
            after={"label": label.strip(), "kind": kind},
            now=state.clock(),
        )
    return RedirectResponse(f"/c/{classifier}/answers/{quote(request_id, safe='')}", 303)


def _kind_of(answer: Inference, label: str) -> str:
    client_label = answer.pinned_label or answer.label
    was_given = label.strip() == client_label and not (answer.abstained and answer.pin is None)
    return "confirmation" if was_given else "correction"


def _logged(state: ConsoleState, classifier: str, request_id: str) -> list[Inference]:
    """Return the rows of a request, the answer first. Raises `UnknownRequest`."""
    rows = logged_rows(state.context, request_id)
    of_classifier = [row for row in rows if row.classifier == classifier]
    if not of_classifier:
        raise UnknownRequest(
            f"the request id of an answer of {classifier}",
            came=request_id[:80],
            do=f"see {rows[0].classifier}",
        )
    return of_classifier


def _facts(
    request: Request, classifier: str, request_id: str, title: str, rows: list[tuple[str, str]]
) -> HTMLResponse:
    return render(
        request,
        "answer_facts.html",
        classifier=classifier,
        request_id=request_id,
        title=title,
        rows=rows,
    )
