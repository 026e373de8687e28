"""Sessions as signed cookies: who signed in, and when."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path

from itsdangerous import BadData, URLSafeSerializer

from core.files import replace_private

LIFETIME = timedelta(hours=12)
CLOCKS = timedelta(minutes=1)
"""How far a session may begin in the future: the clock may have been set back."""
SECRET_BYTES = 32


@dataclass(frozen=True)
class Session:
    """One person signed in; `key` is the person's session key of that moment."""

    name: str
    key: str
    began_at: datetime


class Sessions:
    """Writes and reads the cookies that only the holder of the secret can make."""

    def __init__(self, secret: bytes) -> None:
        self._serializer = URLSafeSerializer(
            secret,
            salt="perennial console session",
            signer_kwargs={"key_derivation": "hmac", "digest_method": sha256},
        )

    def write(self, session: Session) -> str:
        """Return the value of the cookie."""
        began_at = int(session.began_at.timestamp())
        return str(self._serializer.dumps([session.name, session.key, began_at]))

    def read(self, cookie: str, *, now: datetime) -> Session | None:
        """Return the session of a cookie; None for one that is forged, altered or expired."""
        try:
            name, key, began_at = self._serializer.loads(cookie)
            session = Session(str(name), str(key), datetime.fromtimestamp(began_at, UTC))
        except (BadData, TypeError, ValueError, OverflowError, OSError):
            return None
        is_current = session.began_at - CLOCKS <= now < session.began_at + LIFETIME
        return session if is_current else None


def signing_secret(home: Path) -> bytes:
    """Return the secret of a home, made at the first start; only its owner may read the file.

    Removing the file ends all sessions at the next start.
    """
    file = home / "console-secret"
    if not file.is_file() or file.stat().st_size < SECRET_BYTES:
        replace_private(file, [secrets.token_bytes(SECRET_BYTES)])
    return file.read_bytes()
