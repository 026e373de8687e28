"""API keys: who may ask. The file holds hashes only; a key itself is shown once, when it is made, and never logged.

SHA-256 without salt or stretching is right here, and only here: a key is 256 random bits, which nobody can guess or list; slow hashes
protect what people choose. It costs a microsecond a request.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path

from core.errors import KeysUnusable
from core.logs import get_logger

PREFIX = "pk_"
_LINE = re.compile(r"([0-9a-f]{64})(\s+\S.*)?")


def new_key() -> tuple[str, str]:
    """Return a key and its hash: the key for the client, the hash for the file."""
    key = PREFIX + secrets.token_urlsafe(32)
    return key, hash_key(key)


def hash_key(key: str) -> str:
    """Hex digest, as in the file."""
    return hashlib.sha256(key.encode()).hexdigest()


def read_keys(file: Path) -> frozenset[str]:
    """The hashes in a file: one a line, a name may follow; empty lines and `#` comments are skipped. Raises `KeysUnusable`."""
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeError) as error:
        raise KeysUnusable(
            f"a readable file {file}",
            came=type(error).__name__,
            do="correct PERENNIAL_API_KEYS_FILE",
        ) from None
    told = [
        (number, line.strip())
        for number, line in enumerate(lines, 1)
        if line.strip() and not line.strip().startswith("#")
    ]
    for number, line in told:
        if not _LINE.fullmatch(line):
            do = "write the hash that `perennial keys` printed, never the key"
            raise KeysUnusable(
                f"64 hex digits and perhaps a name in {file}",
                came=f"something else in line {number}",
                do=do,
            )
    return frozenset(line[:64] for _, line in told)


def require_keys_beyond_loopback(host: str, keys_file: Path | None) -> None:
    """Raise `KeysUnusable` when anybody on the network could ask: an address beyond loopback needs keys."""
    if keys_file is not None:
        read_keys(keys_file)
    elif not _is_loopback(host):
        do = "make one by `perennial keys` and set PERENNIAL_API_KEYS_FILE, or bind 127.0.0.1"
        raise KeysUnusable(
            f"API keys for a service on {host}", came="no PERENNIAL_API_KEYS_FILE", do=do
        )


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:  # a name: nobody knows where it leads, but for this one
        return host == "localhost"


@dataclass
class Keys:
    """The hashes that open the door. Without a file every caller may come in. `refresh` is called off the request path."""

    file: Path | None
    _hashes: frozenset[str] = frozenset()
    _seen: tuple[int, int] | None = field(default=None)

    def __post_init__(self) -> None:
        if self.file is not None:
            self._seen, self._hashes = _stamp(self.file), read_keys(self.file)

    def admits(self, headers: Iterable[tuple[bytes, bytes]]) -> bool:
        """True when `authorization: Bearer <key>` holds one of the keys. Takes equally long whichever it is."""
        if self.file is None:
            return True
        sent = next((value for name, value in headers if name == b"authorization"), b"")
        scheme, _, key = sent.partition(b" ")
        found = hashlib.sha256(key.strip()).hexdigest()
        matches = [hmac.compare_digest(found, known) for known in self._hashes]
        return scheme.lower() == b"bearer" and any(matches)

    def refresh(self) -> None:
        """Read the file again when it changed. Raises `KeysUnusable`; the last good keys then stay."""
        if self.file is None or (stamp := _stamp(self.file)) == self._seen:
            return
        self._hashes, self._seen = read_keys(self.file), stamp
        get_logger().info("api keys", state="read", keys=len(self._hashes))


def _stamp(file: Path) -> tuple[int, int] | None:
    try:
        told = file.stat()
    except OSError:
        return None
    return told.st_mtime_ns, told.st_size
