"""Paths of the stages' files, relative to the current folder; reading and writing them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from core.errors import StageFailed
from core.files import replacing

DATA = Path("data")
SPEC = Path("build/spec")
EMBEDDER = Path("build/embedder")
EMBEDDINGS = Path("build/embeddings")
CHECK = Path("build/check")


def classifier_folder(key: str) -> Path:
    """Return the folder of one classifier's outputs."""
    return Path("build/classifiers") / key


def read_json(path: Path) -> Any:
    """Parse a JSON file; raises `StageFailed` when it does not exist."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise _missing(path) from None


def write_rows(path: Path, table: pa.Table) -> None:
    """Write Parquet, compressed with zstd."""
    with replacing(path) as part:
        pq.write_table(table, part, compression="zstd")


def read_rows(path: Path, *, columns: list[str] | None = None) -> pa.Table:
    """Read a Parquet file; raises `StageFailed` when it does not exist."""
    try:
        return pq.read_table(path, columns=columns)
    except FileNotFoundError:
        raise _missing(path) from None


def _missing(path: Path) -> StageFailed:
    return StageFailed(
        f"the file {path}",
        came="none",
        do="run `dvc repro` from the repository's root, after `make data`",
    )
