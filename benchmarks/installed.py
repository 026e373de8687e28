"""Measures the disk space of the packages of a lock."""

from __future__ import annotations

import re
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path


def installed_size(lock: Path) -> int:
    """Bytes of the files of every package in the lock that is installed here."""
    pins = re.findall(r"^([\w.-]+)==", lock.read_text(encoding="utf-8"), re.MULTILINE)
    return sum(_size(name) for name in sorted(set(pins)))


def _size(name: str) -> int:
    try:
        files = distribution(name).files or []
    except PackageNotFoundError:
        return 0  # excluded here by an environment marker
    paths = [Path(str(file.locate())) for file in files]
    return sum(path.stat().st_size for path in paths if path.is_file())
