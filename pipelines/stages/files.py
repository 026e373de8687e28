"""Where stages find and leave their files, relative to the current folder; every file appears whole or not at all."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from core.errors import StageFailed

DATA = Path("data")
SPEC = Path("build/spec")
EMBEDDER = Path("build/embedder")
EMBEDDINGS = Path("build/embeddings")
CHECK = Path("build/check")


def classifier_folder(key: str) -> Path:
    """Where the stages of one classifier leave their outputs."""
    return Path("build/classifiers") / key


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a path beside `path` that takes its place at the end: DVC may have linked the old file, read-only, to its cache."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    yield part
    os.replace(part, path)


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Keys sorted: equal values give equal bytes."""
    with replacing(path) as part:
        part.write_text(json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False) + "\n", encoding="utf-8")


def read_json(path: Path) -> Any:
    """Raises `StageFailed` when there is no such file."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise _missing(path) from None


def write_rows(path: Path, table: pa.Table) -> None:
    """Parquet, zstd."""
    with replacing(path) as part:
        pq.write_table(table, part, compression="zstd")


def read_rows(path: Path, *, columns: list[str] | None = None) -> pa.Table:
    """Raises `StageFailed` when there is no such file."""
    try:
        return pq.read_table(path, columns=columns)
    except FileNotFoundError:
        raise _missing(path) from None


def _missing(path: Path) -> StageFailed:
    return StageFailed(f"a file {path}", came="none", do="run `dvc repro` from the repository's root, after `make data`")
