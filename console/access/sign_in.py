"""How a console knows who asks: by a session, or because only this machine reaches it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from sqlalchemy.engine import Connection

from console.access.attempts import Attempts
from console.access.passwords import verify_password
from console.access.people import Person, local_person
from console.access.sessions import Session, Sessions, signing_secret
from console.access.users import User, any_users, find_user
from console.state import ConsoleState
from core.addresses import is_every_address, is_loopback
from core.errors import SettingsError, SignInNeeded, SignInRefused, UsersNeeded
from core.logs import get_logger
from core.settings import Settings

if TYPE_CHECKING:
    from console.access.openid import OpenId

COOKIE = "perennial_console"


@dataclass(frozen=True)
class SignIn:
    """The sessions of one console; `is_local` when other machines do not reach it."""

    sessions: Sessions
    attempts: Attempts
    openid: OpenId | None
    is_local: bool

    def person_of(self, state: ConsoleState, cookies: Mapping[str, str]) -> Person:
        """Return who sent the cookies. Raises `SignInNeeded`.

        Without users, a local console has the local person.
        """
        session = self.sessions.read(cookies.get(COOKIE, ""), now=state.clock())
        with state.reading() as connection:
            if user := _user_of(connection, session):
                return Person(user.name, user.role, signed_in=True)
            if self.is_local and self.openid is None and not any_users(connection):
                return local_person()
        raise SignInNeeded("a signed-in person", came="none", do="sign in at /login")

    def by_password(
        self, state: ConsoleState, name: str, password: str, *, address: str
    ) -> tuple[Person, str]:
        """Return a person and their new cookie. Raises `SignInRefused`, `TooManyAttempts`."""
        name = name.strip()
        now = state.clock()
        self.attempts.admit(name[:200], address, now=now)
        with state.reading() as connection:
            user = find_user(connection, name)
        stored = user.password if user else None
        if not verify_password(stored, password) or user is None:
            get_logger().warning("sign in", state="refused", how="password", address=address)
            raise SignInRefused(
                "a name with its password", came="two that do not match", do="try again"
            )
        self.attempts.succeeded(name[:200], address)
        return self._begin(user, how="password", now=now)

    def by_openid(self, state: ConsoleState, name: str) -> tuple[Person, str]:
        """Return the person whom the provider named, and their new cookie.

        Raises `SignInRefused` for a name without a user of the provider.
        """
        with state.reading() as connection:
            user = find_user(connection, name)
        if user is None or user.password is not None:
            get_logger().warning("sign in", state="refused", how="openid", person=name)
            raise SignInRefused(
                "a user of this console who signs in at the provider",
                came=name[:200],
                do=f"ask an operator for `perennial users add {name[:200]} --openid`",
            )
        return self._begin(user, how="openid", now=state.clock())

    def _begin(self, user: User, *, how: str, now: datetime) -> tuple[Person, str]:
        get_logger().info("sign in", state="granted", how=how, person=user.name)
        person = Person(user.name, user.role, signed_in=True)
        return person, self.sessions.write(Session(user.name, user.session_key, now))


def open_sign_in(settings: Settings) -> SignIn:
    """Read the secret of the sessions and the provider of the settings."""
    return SignIn(
        Sessions(signing_secret(settings.home)),
        Attempts(),
        _provider(settings) if settings.openid_issuer else None,
        is_local(settings),
    )


def _provider(settings: Settings) -> OpenId:
    """Return the provider; without one, Authlib is not imported: it takes a while and warns."""
    from console.access.openid import OpenId

    return OpenId(settings)


def is_local(settings: Settings) -> bool:
    """Return whether neither the host nor the address of the settings leads beyond loopback."""
    address = settings.console_address
    name = urlsplit(address).hostname if address else None
    return is_loopback(settings.host) and (name is None or is_loopback(name))


def require_sign_in_beyond_loopback(connection: Connection, settings: Settings) -> None:
    """Refuse to start a console that others reach and that knows nobody.

    Raises `UsersNeeded`, and `SettingsError` where the provider could not send people back.
    """
    if settings.openid_issuer and not settings.console_address and is_every_address(settings.host):
        raise SettingsError(
            "the address to which the OpenID provider sends people back",
            came=settings.host,
            do="set PERENNIAL_CONSOLE_ADDRESS, such as https://console.example",
        )
    if is_local(settings) or settings.openid_issuer or any_users(connection):
        return
    raise UsersNeeded(
        f"users for a console on {settings.console_address or settings.host}",
        came="none, and no OpenID provider",
        do="add one with `perennial users add NAME`, set PERENNIAL_OPENID_ISSUER, or use 127.0.0.1",
    )


def _user_of(connection: Connection, session: Session | None) -> User | None:
    """Return the user of a session that has not been ended."""
    user = find_user(connection, session.name) if session else None
    if user is None or session is None or user.session_key != session.key:
        return None
    return user
