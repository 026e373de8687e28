"""The people who may sign in, in the table `console_user`."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from console.access.changes import record_change
from console.access.passwords import hash_password
from console.access.people import ROLES, Person, Role
from core.errors import PersonRefused
from core.tables.console import console_user

LONGEST_NAME = 200


@dataclass(frozen=True)
class User:
    """Somebody who may sign in; `password` is a hash, None for those of the OpenID provider."""

    name: str
    role: Role
    password: str | None
    session_key: str
    added_at: datetime


def find_user(connection: Connection, name: str) -> User | None:
    """Return the user of exactly this name."""
    if "\0" in name:
        return None
    query = sa.select(console_user).where(console_user.c.name == name)
    row = connection.execute(query).one_or_none()
    return None if row is None else User(**row._mapping)


def list_users(connection: Connection) -> list[User]:
    """Return all users by name."""
    query = sa.select(console_user).order_by(console_user.c.name)
    return [User(**row._mapping) for row in connection.execute(query)]


def any_users(connection: Connection) -> bool:
    """Return whether somebody may sign in."""
    return bool(connection.scalar(sa.select(sa.exists().select_from(console_user))))


def reviews_alone(connection: Connection, name: str) -> bool:
    """Return whether the only user who may review is this one."""
    may_review = sa.select(console_user.c.name).where(console_user.c.role != "viewer").limit(2)
    return list(connection.scalars(may_review)) == [name]


def add_user(
    connection: Connection,
    name: str,
    role: Role,
    *,
    password: str | None,
    by: Person,
    now: datetime,
) -> None:
    """Add a user; without a password they sign in at the OpenID provider. The caller commits.

    Raises `PersonRefused`.
    """
    name = _usable_name(name)
    if find_user(connection, name):
        raise PersonRefused("a new name", came=name, do="see `perennial users list`")
    connection.execute(
        console_user.insert().values(
            name=name,
            role=_known_role(role),
            password=None if password is None else hash_password(password),
            session_key=_new_key(),
            added_at=now,
        )
    )
    after = {"role": role, "signs_in": "openid" if password is None else "password"}
    record_change(connection, by, what="add user", subject=name, after=after, now=now)


def remove_user(connection: Connection, name: str, *, by: Person, now: datetime) -> None:
    """Remove a user, and with them their sessions. Raises `PersonRefused`."""
    before = {"role": _require(connection, name).role}
    connection.execute(console_user.delete().where(console_user.c.name == name))
    record_change(connection, by, what="remove user", subject=name, before=before, now=now)


def set_role(connection: Connection, name: str, role: Role, *, by: Person, now: datetime) -> None:
    """Give a user another role, from their next request on. Raises `PersonRefused`."""
    before = _require(connection, name).role
    _update(connection, name, {"role": _known_role(role)})
    record_change(
        connection,
        by,
        what="change role",
        subject=name,
        before={"role": before},
        after={"role": role},
        now=now,
    )


def set_password(
    connection: Connection, name: str, password: str, *, by: Person, now: datetime
) -> None:
    """Give a user another password, and end their sessions. Raises `PersonRefused`."""
    _require(connection, name)
    new = {"password": hash_password(password), "session_key": _new_key()}
    _update(connection, name, new)
    record_change(connection, by, what="change password", subject=name, now=now)


def end_sessions(connection: Connection, name: str) -> None:
    """End every session of a user: a copied cookie is worth nothing after they sign out."""
    _update(connection, name, {"session_key": _new_key()})


def _update(connection: Connection, name: str, values: Mapping[str, Any]) -> None:
    connection.execute(console_user.update().where(console_user.c.name == name).values(**values))


def _require(connection: Connection, name: str) -> User:
    user = find_user(connection, name)
    if user is None:
        raise PersonRefused("the name of a user", came=name, do="see `perennial users list`")
    return user


def _usable_name(name: str) -> str:
    trimmed = name.strip()
    if not trimmed or not trimmed.isprintable() or len(trimmed) > LONGEST_NAME:
        raise PersonRefused(
            f"a name of 1 to {LONGEST_NAME} printable characters",
            came=repr(name)[:80],
            do="use one",
        )
    return trimmed


def _known_role(role: str) -> str:
    if role not in ROLES:
        raise PersonRefused(f"one of {', '.join(ROLES)}", came=role, do="choose a role")
    return role


def _new_key() -> str:
    return secrets.token_hex(16)
