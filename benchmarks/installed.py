"""What installing a lock costs on disk."""

from __future__ import annotations

import re
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path


def installed_size(lock: Path) -> int:
    """Bytes of the files of every package that the lock names, as far as they are installed here."""
    return sum(
        _size(name)
        for name in sorted(
            set(re.findall(r"^([\w.-]+)==", lock.read_text(encoding="utf-8"), re.MULTILINE))
        )
    )


def _size(name: str) -> int:
    try:
        files = distribution(name).files or []
    except PackageNotFoundError:
        return 0  # a marker that this environment was resolved without
    paths = [file.locate() for file in files]
    return sum(path.stat().st_size for path in paths if path.is_file())  # type: ignore[attr-defined]
