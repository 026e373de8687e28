"""Which version answers: promote, roll back, canary, shadow, reject, by operators with a reason."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Literal

from fastapi import APIRouter, Form
from fastapi.responses import RedirectResponse
from pydantic import AfterValidator

from console.access.changes import record_change
from console.access.people import Operator, Person
from console.state import Classifier, ConsoleState, State
from core.contracts import ModelVersion
from core.deployments import previous_champion
from flows.outages import named_outages
from flows.rollout import (
    assign_role,
    promote_by_hand,
    reject_by_hand,
    require_same_embedder,
    roll_back_by_hand,
    withdraw_role,
)
from monitoring.versions import roles_now
from pipelines.model_store import stored_version

router = APIRouter(prefix="/c/{classifier}/versions")


def _filled(why: str) -> str:
    if not why.strip():
        raise ValueError("expected a reason")
    return why.strip()


Why = Annotated[str, Form(max_length=1000), AfterValidator(_filled)]
Force = Annotated[bool, Form()]
"""Also a version that the gate or a person rejected."""


@router.post("/roll-back")
def roll_back(classifier: Classifier, why: Why, state: State, person: Operator) -> RedirectResponse:
    """Return to the champion before the present one."""
    with state.reading() as connection:
        before = previous_champion(connection, classifier)
    if before is not None:
        require_same_embedder(state.context, before.model)
    with _recorded(state, person, "roll back", classifier, why):
        roll_back_by_hand(state.context, classifier, why=why, by=person.name)
    return _back(classifier)


@router.post("/end/{role}")
def end(
    classifier: Classifier,
    role: Literal["canary", "shadow"],
    why: Why,
    state: State,
    person: Operator,
) -> RedirectResponse:
    """End the canary or the shadow."""
    with _recorded(state, person, f"end {role}", classifier, why):
        withdraw_role(state.context, classifier, role=role, why=why, by=person.name)
    return _back(classifier)


@router.post("/{version}/promote")
def promote(
    classifier: Classifier,
    version: str,
    why: Why,
    state: State,
    person: Operator,
    force: Force = False,
) -> RedirectResponse:
    """Make the version the champion; a rejected one by force."""
    require_same_embedder(state.context, _stored(state, classifier, version))
    with _recorded(state, person, "promote", f"{classifier} {version}", why):
        promote_by_hand(
            state.context, classifier, version=version, why=why, force=force, by=person.name
        )
    return _back(classifier)


@router.post("/{version}/reject")
def reject(
    classifier: Classifier, version: str, why: Why, state: State, person: Operator
) -> RedirectResponse:
    """Record that the version must not answer, such as one that waits for a person."""
    with _recorded(state, person, "reject", f"{classifier} {version}", why):
        reject_by_hand(state.context, classifier, version, why=why, by=person.name)
    return _back(classifier)


@router.post("/{version}/canary")
def canary(
    classifier: Classifier,
    version: str,
    why: Why,
    percent: Annotated[float, Form(gt=0, le=100)],
    state: State,
    person: Operator,
    force: Force = False,
) -> RedirectResponse:
    """Let the version answer a share of the requests; a rejected one by force."""
    with _recorded(state, person, f"canary {percent:g} %", f"{classifier} {version}", why):
        assign_role(
            state.context,
            classifier,
            version,
            role="canary",
            share=percent / 100,
            why=why,
            force=force,
            by=person.name,
        )
    return _back(classifier)


@router.post("/{version}/shadow")
def shadow(
    classifier: Classifier, version: str, why: Why, state: State, person: Operator
) -> RedirectResponse:
    """Let the version score every request without answering."""
    with _recorded(state, person, "shadow", f"{classifier} {version}", why):
        assign_role(
            state.context, classifier, version, role="shadow", share=1.0, why=why, by=person.name
        )
    return _back(classifier)


@contextmanager
def _recorded(
    state: ConsoleState, person: Person, what: str, subject: str, why: str
) -> Iterator[None]:
    """Record the change after it, with the roles before and after; nothing when it fails."""
    classifier = subject.split()[0]
    with state.reading() as connection:
        before = roles_now(connection, classifier)
    with named_outages():
        yield
    with state.changing() as connection:
        after = {**roles_now(connection, classifier), "why": why}
        record_change(
            connection,
            person,
            what=what,
            subject=subject,
            before=before,
            after=after,
            now=state.clock(),
        )


def _stored(state: ConsoleState, classifier: str, version: str) -> ModelVersion:
    return stored_version(state.settings.models, classifier=classifier, version=version)


def _back(classifier: str) -> RedirectResponse:
    return RedirectResponse(f"/c/{classifier}/versions", 303)
