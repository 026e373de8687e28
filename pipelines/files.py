"""Files that appear whole or not at all."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
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
        raise DiskFull(f"room for {target.name} in {target.parent}", came=error.strerror or str(error), do=do) from None
    finally:
        part.unlink(missing_ok=True)


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Keys sorted: equal values give equal bytes. Raises `DiskFull`."""
    with replacing(path) as part:
        part.write_text(json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False) + "\n", encoding="utf-8")
