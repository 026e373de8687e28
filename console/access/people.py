"""Who looks at the console, and what they may do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Literal, get_args

from fastapi import Depends, Request

from core.errors import RoleNeeded
from machine.user import system_user

Role = Literal["viewer", "reviewer", "operator"]
"""Each role may do what the one before it may."""
ROLES: tuple[Role, ...] = get_args(Role)


@dataclass(frozen=True)
class Person:
    """A person who uses the console; `name` is the author of what they change.

    `signed_in` is False for the local person, who cannot sign out.
    """

    name: str
    role: Role
    signed_in: bool = False


def local_person() -> Person:
    """Return the one person of a console on loopback without users: the system's user."""
    return Person(system_user(), "operator")


def _person(request: Request) -> Person:
    """Return who asks. Raises `SignInNeeded`."""
    person: Person = request.app.state.sign_in.person_of(request.app.state.console, request.cookies)
    request.state.person = person
    return person


def _at_least(role: Role) -> Callable[[Person], Person]:
    def check(person: Annotated[Person, Depends(_person)]) -> Person:
        if ROLES.index(person.role) < ROLES.index(role):
            raise RoleNeeded(
                f"the role {role}",
                came=f"{person.name} with the role {person.role}",
                do=f"ask an operator for `perennial users role {person.name} {role}`",
            )
        return person

    return check


Viewer = Annotated[Person, Depends(_person)]
Reviewer = Annotated[Person, Depends(_at_least("reviewer"))]
Operator = Annotated[Person, Depends(_at_least("operator"))]
SIGNED_IN = Depends(_person)
"""The dependency of every router: a page that forgets to say who may see it is still closed."""
