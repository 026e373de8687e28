"""Templates to pages."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from fastapi import Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from console.access.people import Person
from core.english import counted, times
from pipelines.model.explanation import WordShare

FOLDER = Path(__file__).parent
TABS = (
    ("review", "Review"),
    ("answers", "Answers"),
    ("drift", "Drift"),
    ("versions", "Versions"),
    ("performance", "Performance"),
    ("data", "Data"),
    ("fixes", "Fixes"),
    ("pins", "Pins"),
    ("refused", "None of these"),
    ("tasks", "Tasks"),
)
"""The pages of one classifier: path below `/c/{classifier}/`, and title."""
FOR_REVIEWERS = ("review", "tasks")


def _moment(value: datetime | None) -> str:
    return f"{value:%Y-%m-%d %H:%M}" if value else "never"


def _share(value: float | None, digits: int = 1) -> str:
    return "unknown" if value is None else f"{100 * value:.{digits}f} %"


def _sentence(text: str) -> str:
    """Return what others say in lower case as a sentence of a page."""
    return f"{text[:1].upper()}{text[1:].rstrip('.')}."


def _code(text: str) -> Markup:
    """Show what stands between backticks as code."""
    return Markup(re.sub("`([^`]+)`", r"<code>\1</code>", str(escape(text))))


def _tint(margin: float, words: Sequence[WordShare]) -> str:
    """Return the class of a word: for or against the answer, and how strongly, from 0 to 3."""
    strongest = max(abs(word.margin) for word in words) or 1.0
    strength = round(3 * abs(margin) / strongest)
    return f"{'for' if margin > 0 else 'against'}-{strength}"


def make_environment() -> Environment:
    """Return Jinja2 with our templates and filters."""
    environment = Environment(
        loader=FileSystemLoader(FOLDER / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["moment"] = _moment
    environment.filters["code"] = _code
    environment.filters["sentence"] = _sentence
    environment.filters["share"] = _share
    environment.filters["tint"] = _tint
    environment.filters["times"] = times
    environment.filters["counted"] = counted
    environment.filters["thousands"] = "{:,}".format
    return environment


_ENVIRONMENT = make_environment()


def _tabs_of(person: Person | None) -> list[tuple[str, str]]:
    """Return the tabs that a person may open."""
    is_viewer = person is not None and person.role == "viewer"
    return [tab for tab in TABS if not (is_viewer and tab[0] in FOR_REVIEWERS)]


def _open_tab(path: str, tabs: Sequence[tuple[str, str]]) -> str:
    """Return the tab of a path below `/c/{classifier}/`; the first one for other paths."""
    names = [name for name, _ in tabs]
    parts = path.split("/")
    return parts[3] if len(parts) > 3 and parts[3] in names else names[0]


def render(request: Request, template: str, *, status: int = 200, **values: Any) -> HTMLResponse:
    """Return the page of a template.

    The template also gets `person`, who looks; `path`, that of the request; `tabs`, and which is
    open; and the `classifiers` to switch to.
    """
    person = getattr(request.state, "person", None)
    tabs = _tabs_of(person)
    shared = {
        "person": person,
        "tabs": tabs,
        "path": request.url.path,
        "open_tab": _open_tab(request.url.path, tabs),
        "classifier": None,
        "classifiers": getattr(request.state, "classifiers", ()),
    }
    html = _ENVIRONMENT.get_template(template).render(shared | values)
    return HTMLResponse(html.encode("utf-8", "replace"), status)  # a file may hold other bytes
