"""The URLs of databases, as people write them."""

from __future__ import annotations

import re

URL = re.compile(r"^[a-z][a-z0-9_]*(\+[a-z0-9_]+)?://")
_POSTGRES = re.compile(r"^postgres(?=[+:])")
_AFTER_PASSWORD = re.compile(r"://[^:/]*:[^@]*@(?P<rest>[^?]*(?:\?[^=]*)?)")


def usable_url(url: str) -> str:
    """Return a URL that SQLAlchemy parses; `postgres://` becomes `postgresql://`.

    Raises `ValueError`, whose message shows no part of the URL: it may be a part of the password.
    """
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    if not URL.match(url):
        raise ValueError(
            "not a URL such as postgresql://user@host/name; the value is a secret and not shown"
        )
    match = _AFTER_PASSWORD.search(url)
    if match and "@" in match["rest"]:
        raise ValueError("a second @, not shown; write %40 for an @ in the password")
    named = _POSTGRES.sub("postgresql", url)
    try:
        make_url(named)
    except (ArgumentError, ValueError):
        raise ValueError(
            "a URL that cannot be parsed, not shown; write %40, %3A and %2F for @, : and / in "
            "the password"
        ) from None
    return named
