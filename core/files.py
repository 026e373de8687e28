"""Files that appear whole or not at all."""

from __future__ import annotations

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
    """Yield a path beside `target` that takes its place at the end, and is removed after a failure. Raises `DiskFull`.

    Nothing is written over: DVC may have linked the old file, read-only, to its cache.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f".{target.name}.part")
    try:
        yield part
        os.replace(part, target)
    except OSError as error:
        if error.errno not in NO_ROOM:
            raise
        do = "make room there, then run again; what was there before stays"
        raise DiskFull(
            f"room for {target.name} in {target.parent}", came=error.strerror or str(error), do=do
        ) from None
    finally:
        part.unlink(missing_ok=True)


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Keys sorted: equal values give equal bytes. Raises `DiskFull`."""
    with replacing(path) as part:
        part.write_text(
            json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False) + "\n", encoding="utf-8"
        )


def replace_private(target: Path, parts: Iterable[bytes]) -> None:
    """Replace a file that only its owner may read, by the concatenated parts. Raises `DiskFull`."""
    with replacing(target) as part:
        descriptor = os.open(part, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.writelines(parts)


@contextmanager
def appearing_whole(target: Path) -> Iterator[Path]:
    """Yield a path beside the folder `target` that becomes it at the end, and is removed after a failure.

    When another process was first, its folder stays and ours is removed.
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
