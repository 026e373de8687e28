"""The versions of a classifier: what the gate said, side by side, and who answers from now on."""

from __future__ import annotations

from typing import Literal

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import FileResponse, HTMLResponse, Response

from console.access.people import Viewer
from console.rendering import render
from console.state import Classifier, State
from console.version_pages import (
    SCORES,
    label_differences,
    other_evidence,
    pages_elsewhere,
    score_rows,
    versions_of,
)
from core.deployments import previous_champion
from flows.pages.verdict import VERDICTS, measured_gain
from monitoring.versions import (
    decisions_about,
    error_page,
    evaluation_of,
    one_version,
    roles_now,
)
from pipelines.cards.files import NAMES as CARD_NAMES
from pipelines.cards.files import stored_page

router = APIRouter(prefix="/c/{classifier}/versions")
ERRORS_POLICY = (
    "sandbox allow-scripts; default-src 'none'; style-src 'unsafe-inline'; "
    "script-src 'unsafe-inline'; frame-ancestors 'self'"
)
"""The error report has a small script of its own: it gets no origin, no cookies, no network."""
CARD_POLICY = (
    "sandbox; default-src 'none'; img-src data:; style-src 'unsafe-inline'; frame-ancestors 'self'"
)
"""A card shows labels of the data: it gets no origin, no scripts and no network."""


@router.get("")
def versions(
    request: Request, classifier: Classifier, state: State, person: Viewer
) -> HTMLResponse:
    """Show every version, newest first, and which one answers."""
    with state.reading() as connection:
        all_versions = versions_of(state, connection, classifier)
        roles = roles_now(connection, classifier)
        before = previous_champion(connection, classifier)
    return render(
        request,
        "versions.html",
        classifier=classifier,
        versions=all_versions,
        playing=roles,
        before=before.model.version if before else None,
    )


@router.get("/compare")
def compare(
    request: Request,
    classifier: Classifier,
    left: str,
    right: str,
    state: State,
    person: Viewer,
) -> HTMLResponse:
    """Show two versions side by side."""
    with state.reading() as connection:
        all_versions = versions_of(state, connection, classifier)
    pair = [one_version(all_versions, classifier, version) for version in (left, right)]
    models = state.settings.models
    scores = [dict(score_rows(evaluation_of(models, classifier, row.version))) for row in pair]
    return render(
        request,
        "versions_compared.html",
        classifier=classifier,
        pair=pair,
        scores=scores,
        kinds=[kind for kind in SCORES.values() if any(kind in rows for rows in scores)],
        labels=label_differences(state, classifier, left, right),
    )


@router.get("/{version}")
def version(
    request: Request, classifier: Classifier, version: str, state: State, person: Viewer
) -> HTMLResponse:
    """Show one version: the gate's verdict with its evidence, scores, decisions, links."""
    with state.reading() as connection:
        row = one_version(versions_of(state, connection, classifier), classifier, version)
        decisions = decisions_about(connection, classifier, version)
    return render(
        request,
        "version.html",
        classifier=classifier,
        row=row,
        meaning=VERDICTS.get(row.verdict, ""),
        gain=measured_gain(row.gate).strip("*"),
        evidence=other_evidence(row),
        scores=score_rows(evaluation_of(state.settings.models, classifier, version)),
        decisions=decisions,
        has_errors=error_page(state.settings.models, classifier, version) is not None,
        links=pages_elsewhere(state, classifier, version),
        cards=[
            name
            for name in CARD_NAMES
            if stored_page(state.settings.reports, classifier, version, name)
        ],
    )


@router.get("/{version}/errors")
def errors(classifier: Classifier, version: str, state: State, person: Viewer) -> Response:
    """Return the error report of a version, for a frame without an origin."""
    page = error_page(state.settings.models, classifier, version)
    if page is None:
        raise HTTPException(404, "This version has no error report: an earlier release made it.")
    headers = {"content-security-policy": ERRORS_POLICY}
    return FileResponse(page, media_type="text/html", headers=headers)


@router.get("/{version}/cards/{name}")
def card(
    classifier: Classifier,
    version: str,
    name: Literal["model", "data"],
    state: State,
    person: Viewer,
) -> Response:
    """Return a card of a version, for a frame without an origin."""
    page = stored_page(state.settings.reports, classifier, version, name)
    if page is None:
        raise HTTPException(404, "No card was written for this version.")
    headers = {"content-security-policy": CARD_POLICY}
    return FileResponse(page, media_type="text/html", headers=headers)
