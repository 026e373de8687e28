"""Consoles of named reviewers, over one loop."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import get_args

from fastapi import FastAPI

from console.access.people import Operator, Person, Reviewer, Viewer
from console.app import create_app
from flows.context import LoopContext

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def console_of(context: LoopContext, name: str) -> FastAPI:
    """Return a console in front of which one of several reviewers sits."""
    app = create_app(context, clock=lambda: NOW)

    def person() -> Person:
        return Person(name, "reviewer")

    for role in (Viewer, Reviewer, Operator):
        app.dependency_overrides[get_args(role)[1].dependency] = person
    return app
