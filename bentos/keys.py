"""API keys. The file holds hashes only; a key is shown once, when it is made, and never logged.

SHA-256 without salt or stretching is right here, and only here: a key is 256 random bits, which
nobody can guess or list; slow hashes protect what people choose. It takes a microsecond per
request.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from core.addresses import is_loopback
from core.errors import KeysUnusable
from core.logs import get_logger

PREFIX = "pk_"
_LINE = re.compile(r"([0-9a-f]{64})(\s+\S.*)?")
_REGION = re.compile(r"(?:^|\s)region=(\S.*)$")


@dataclass(frozen=True, slots=True)
class Caller:
    """The holder of a key. `region` stands for that of requests that name none."""

    name: str
    region: str | None = None


ANONYMOUS = Caller("anonymous")
"""The callers of a service without keys."""


def new_key() -> tuple[str, str]:
    """Return a key and its hash: the key for the client, the hash for the file."""
    key = PREFIX + secrets.token_urlsafe(32)
    return key, hash_key(key)


def hash_key(key: str) -> str:
    """Hex digest, as in the file."""
    return hashlib.sha256(key.encode()).hexdigest()


def read_keys(file: Path) -> dict[str, Caller]:
    """Return the hashes in a file, one per line, with their holders. Raises `KeysUnusable`.

    A name may follow a hash; without one it is the hash's first digits. `region=north` may end the
    line. Empty lines and `#` comments are skipped.
    """
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeError) as error:
        raise KeysUnusable(
            f"a readable file {file}",
            came=type(error).__name__,
            do="correct PERENNIAL_API_KEYS_FILE",
        ) from None
    entries = [
        (number, line.strip())
        for number, line in enumerate(lines, 1)
        if line.strip() and not line.strip().startswith("#")
    ]
    for number, entry in entries:
        if not _LINE.fullmatch(entry):
            raise KeysUnusable(
                f"64 hex digits and an optional name in {file}",
                came=f"something else in line {number}",
                do="write the hash that `perennial keys` printed, never the key",
            )
    return {entry[:64]: _caller(entry) for _, entry in entries}


def _caller(entry: str) -> Caller:
    described = entry[64:].strip()
    region = _REGION.search(described)
    name = described[: region.start()].strip() if region else described
    return Caller(name or f"key {entry[:8]}", region[1] if region else None)


def require_keys_beyond_loopback(host: str, keys_file: Path | None) -> None:
    """Raise `KeysUnusable` for an address beyond loopback without keys, or for an unusable file."""
    if keys_file is not None:
        read_keys(keys_file)
    elif not is_loopback(host):
        raise KeysUnusable(
            f"API keys for a service on {host}",
            came="no PERENNIAL_API_KEYS_FILE",
            do="create one with `perennial keys`, set PERENNIAL_API_KEYS_FILE, or bind 127.0.0.1",
        )


@dataclass
class Keys:
    """The accepted hashes and their holders. Without a file every caller is admitted.

    `refresh` is called off the request path.
    """

    file: Path | None
    _callers: Mapping[str, Caller] = field(default_factory=dict)
    _seen: tuple[int, int] | None = field(default=None)

    def __post_init__(self) -> None:
        if self.file is not None:
            self._seen = _stamp(self.file)  # before reading: a later change is then noticed
            self._callers = read_keys(self.file)

    def holder(self, headers: Iterable[tuple[bytes, bytes]]) -> Caller | None:
        """Return the holder of the key in `authorization: Bearer <key>`, or None for no valid key.

        Every key is compared in constant time.
        """
        if self.file is None:
            return ANONYMOUS
        sent = next((value for name, value in headers if name == b"authorization"), b"")
        scheme, _, key = sent.partition(b" ")
        digest = hashlib.sha256(key.strip()).hexdigest()
        callers = [
            caller for known, caller in self._callers.items() if hmac.compare_digest(digest, known)
        ]
        return callers[0] if callers and scheme.lower() == b"bearer" else None

    def refresh(self) -> None:
        """Read the file again when it changed. Raises `KeysUnusable`, and keeps the last keys."""
        if self.file is None:
            return
        stamp = _stamp(self.file)
        if stamp == self._seen:
            return
        self._callers = read_keys(self.file)
        self._seen = stamp
        get_logger().info("api keys", state="read", keys=len(self._callers))


def _stamp(file: Path) -> tuple[int, int] | None:
    try:
        status = file.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size
