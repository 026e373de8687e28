"""Passwords, kept as Argon2 hashes."""

from __future__ import annotations

import secrets
from functools import cache
from threading import BoundedSemaphore

from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error, InvalidHashError

from core.errors import PersonRefused

SHORTEST = 12
LONGEST = 1000
_HASHER = PasswordHasher()
_AT_ONCE = BoundedSemaphore(2)
"""A hash takes 64 MiB of memory: many attempts at once must not take all of it."""


def hash_password(password: str) -> str:
    """Return the hash to store. Raises `PersonRefused` for a password that is easily guessed."""
    if not SHORTEST <= len(password) <= LONGEST:
        change = "longer" if len(password) < SHORTEST else "shorter"
        raise PersonRefused(
            f"a password of {SHORTEST} to {LONGEST} characters",
            came=f"one of {len(password)}",
            do=f"choose one that is {change}, such as five random words",
        )
    with _AT_ONCE:
        return _HASHER.hash(password)


def verify_password(stored: str | None, password: str) -> bool:
    """Return whether the password is the stored one.

    Without a stored one the answer is False, and takes as long: nobody learns which names exist.
    """
    if len(password) > LONGEST:
        return False
    try:
        with _AT_ONCE:
            return _HASHER.verify(stored or _nobody(), password) and stored is not None
    except (Argon2Error, InvalidHashError):
        return False


@cache
def _nobody() -> str:
    return _HASHER.hash(secrets.token_hex())
