"""Whether a bento holds the code that this repository would pack now."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from bentos.packaging.package import CODE, SERVING_LOCKS
from core.settings import REPOSITORY
from pipelines.model.embedder import read_embedder


def holds_current_code(bento: Path, *, repository: Path = REPOSITORY) -> bool:
    """Return False when code or dependencies have changed since the bento was built."""
    packed = bento / "src"
    embedder = packed / "cold" / "embedder"
    if not (embedder / "embedder.json").is_file():
        return False
    lock = SERVING_LOCKS[read_embedder(embedder)["runtime"]]
    requirements = packed / "requirements.txt"
    if not requirements.is_file() or requirements.read_bytes() != lock.read_bytes():
        return False
    return _code(packed) == _code(repository)


def packed_embedder(bento: Path) -> str:
    """Return the id of the embedder that a bento holds."""
    return str(read_embedder(bento / "src" / "cold" / "embedder")["embedder_id"])


def _code(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in _code_files(folder)}


def _code_files(folder: Path) -> Iterator[Path]:
    for part in CODE:
        path = folder / part
        paths = path.rglob("*") if path.is_dir() else [path]
        yield from (file for file in paths if file.is_file() and "__pycache__" not in file.parts)
