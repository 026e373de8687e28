"""Removes bentos that nobody will serve again; each holds an embedder of 80 MB."""

from __future__ import annotations

import re
import shutil
from collections.abc import Collection
from pathlib import Path

import psutil

from bentos.packaging.package import NAME

KEPT = 3  # of each name, the newest
_TAG = re.compile(rf"{NAME}(-\d+)?:(?P<version>[\w.-]+)")


def prune_bentos(bento_store: Path) -> list[str]:
    """Remove old bentos; return their tags. `bento_store` is a BENTOML_HOME.

    Of each name, the newest KEPT bentos, the latest one and those that a process of this machine
    serves stay. Nothing else depends on a bento: versions are in the model store.
    """
    served = _served_versions()
    removed = []
    for name in sorted((bento_store / "bentos").glob(f"{NAME}*")):
        for bento in _oldest_first(name)[:-KEPT]:
            if bento.name not in {*served, _latest(name)}:
                shutil.rmtree(bento)
                removed.append(f"{name.name}:{bento.name}")
    return removed


def _oldest_first(name: Path) -> list[Path]:
    return sorted(
        (described.parent for described in name.glob("*/bento.yaml")),
        key=lambda bento: (bento / "bento.yaml").stat().st_mtime_ns,
    )


def _latest(name: Path) -> str:
    return (name / "latest").read_text().strip() if (name / "latest").is_file() else ""


def _served_versions() -> Collection[str]:
    """Return the versions in the command lines of all processes; a worker may restart from them."""
    lines = (process.info["cmdline"] or [] for process in psutil.process_iter(["cmdline"]))
    return {
        tag["version"] for line in lines for argument in line if (tag := _TAG.fullmatch(argument))
    }
