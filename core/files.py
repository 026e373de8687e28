"""Atomic writes: a file or folder appears whole or not at all."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from core.errors import NO_ROOM, DiskFull


@contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """Yield a path beside `target` that replaces it at the end, and is removed after a failure.

    The old file is never written to: DVC may have linked it, read-only, to its cache.
    Raises `DiskFull` when there is no room; any other `OSError` passes.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f".{target.name}.part")
    try:
        yield part
        os.replace(part, target)
    except OSError as error:
        if error.errno not in NO_ROOM:
            raise
        raise DiskFull(
            f"room for {target.name} in {target.parent}",
            came=error.strerror or str(error),
            do="make room there, then run again; the previous file is unchanged",
        ) from None
    finally:
        part.unlink(missing_ok=True)


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Write with sorted keys, so that equal values give equal bytes. Raises `DiskFull`."""
    text = json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
    with replacing(path) as part:
        part.write_text(text, encoding="utf-8")


def replace_private(target: Path, parts: Iterable[bytes]) -> None:
    """Replace a file with the concatenated parts; only its owner may read it. Raises `DiskFull`."""
    with replacing(target) as part:
        descriptor = os.open(part, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.writelines(parts)


def create_locked(target: Path) -> int:
    """Create a private file to append to and lock it; return its descriptor.

    The file gets its name only after it is locked, so that nobody takes it for abandoned.
    The lock ends with the descriptor. Raises `OSError`, and then leaves nothing behind.
    """
    draft = target.with_suffix(".new")
    descriptor = os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_APPEND, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        draft.rename(target)
    except OSError:
        os.close(descriptor)
        draft.unlink(missing_ok=True)
        raise
    return descriptor


@contextmanager
def appearing_whole(target: Path) -> Iterator[Path]:
    """Yield a path beside the folder `target` that becomes it at the end.

    The draft is removed after a failure. When another process was first, its folder stays
    and ours is removed.
    """
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.parent.mkdir(parents=True, exist_ok=True)
    try:
        yield part
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        raise
    try:
        part.rename(target)
    except OSError:
        shutil.rmtree(part)
        if not target.is_dir():
            raise
