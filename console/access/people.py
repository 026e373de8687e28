"""Who looks at the console, and what they may do."""

from __future__ import annotations

import getpass
from dataclasses import dataclass
from typing import Annotated, Literal

from fastapi import Depends, Request

Role = Literal["viewer", "reviewer", "operator"]
"""Each role may do what the one before it may."""


@dataclass(frozen=True)
class Person:
    """Somebody in front of the console; `name` is the author of what they change."""

    name: str
    role: Role


def local_person() -> Person:
    """Return the one person of a console on loopback without users: the system's user."""
    return Person(getpass.getuser(), "operator")


def _viewer(request: Request) -> Person:
    request.state.person = local_person()
    person: Person = request.state.person
    return person


Viewer = Annotated[Person, Depends(_viewer)]
Reviewer = Annotated[Person, Depends(_viewer)]
Operator = Annotated[Person, Depends(_viewer)]
