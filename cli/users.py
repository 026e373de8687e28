"""`perennial users`: who may sign in to the console, and what they may do."""

from __future__ import annotations

import getpass
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from cli.help import WholeLines
from cli.output import Json, output

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

Name = Annotated[
    str,
    typer.Argument(metavar="NAME", help="The name at sign-in, or the one that the provider sends."),
]
Role = Literal["viewer", "reviewer", "operator"]
RoleOption = Annotated[Role, typer.Option(help="What they may do.")]
RoleArgument = Annotated[Role, typer.Argument(help="What they may do.")]
OpenId = Annotated[
    bool, typer.Option("--openid", help="They sign in at the OpenID provider, without a password.")
]


def register(app: typer.Typer) -> None:
    """Add `users`."""
    group = typer.Typer(
        cls=WholeLines,
        help="Manage who may sign in to the console.",
        no_args_is_help=True,
        rich_markup_mode=None,
    )
    group.command(epilog="Example: perennial users add ada --role reviewer")(add)
    group.command("list", epilog="Example: perennial users list")(list_all)
    group.command(epilog="Example: perennial users remove ada")(remove)
    group.command(epilog="Example: perennial users role ada operator")(role)
    group.command(epilog="Example: perennial users password ada")(password)
    app.add_typer(group, name="users")


def add(
    name: Name, role: RoleOption = "viewer", openid: OpenId = False, json: Json = False
) -> None:
    """Add a user. The password is prompted for, or read from the first line of standard input."""
    from console.access.people import local_person
    from console.access.users import add_user

    chosen = None if openid else _ask_password()
    with _changing() as connection:
        add_user(connection, name, role, password=chosen, by=local_person(), now=datetime.now(UTC))
    output().result({"name": name, "role": role}, f"{name} may sign in as {role}")


def list_all(json: Json = False) -> None:
    """List the users."""
    from console.access.users import list_users

    with _changing() as connection:
        users = list_users(connection)
    rows = [
        (
            user.name,
            user.role,
            "password" if user.password else "openid",
            f"{user.added_at:%Y-%m-%d}",
        )
        for user in users
    ]
    columns = ("name", "role", "signs in by", "added")
    output().table(
        {"users": [dict(zip(("name", "role", "by", "added"), row, strict=True)) for row in rows]},
        columns=columns,
        rows=rows,
    )


def remove(name: Name, json: Json = False) -> None:
    """Remove a user; their sessions end at once."""
    from console.access.people import local_person
    from console.access.users import remove_user

    with _changing() as connection:
        remove_user(connection, name, by=local_person(), now=datetime.now(UTC))
    output().result({"removed": name}, f"{name} can no longer sign in")


def role(name: Name, role: RoleArgument, json: Json = False) -> None:
    """Give a user another role. It holds from their next request."""
    from console.access.people import local_person
    from console.access.users import set_role

    with _changing() as connection:
        set_role(connection, name, role, by=local_person(), now=datetime.now(UTC))
    output().result({"name": name, "role": role}, f"{name} is {role} now")


def password(name: Name, json: Json = False) -> None:
    """Give a user another password; their sessions end at once."""
    from console.access.people import local_person
    from console.access.users import set_password

    chosen = _ask_password()
    with _changing() as connection:
        set_password(connection, name, chosen, by=local_person(), now=datetime.now(UTC))
    output().result({"name": name}, f"{name} has another password now")


@contextmanager
def _changing() -> Iterator[Connection]:
    """Open a transaction on the database of the settings."""
    from core.database import connect, open_database
    from core.settings import load_settings

    with open_database(load_settings()) as urls:
        engine = connect(urls.perennial)
        try:
            with engine.begin() as connection:
                yield connection
        finally:
            engine.dispose()


def _ask_password() -> str:
    """Read a password; never from an argument, which every user of the machine could see."""
    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\r\n")
    chosen = getpass.getpass("Password: ")
    if getpass.getpass("Again: ") != chosen:
        raise typer.BadParameter("the two passwords differ")
    return chosen
