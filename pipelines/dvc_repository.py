"""DVC as commands on a checkout: its cache, its tracked data, its environment."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from core.errors import NotReproducible
from pipelines.dvc_cache import name_within, object_file, refuse, set_aside, tracked, verify
from pipelines.git_repository import file_at, run_command, stage_environment

OWNERS = ("dvc.lock", "data.dvc")
"""The files that name what DVC tracks of a checkout."""
DVC = (sys.executable, "-m", "dvc")


def cache_of(repository: Path) -> Path:
    """Return the folder of the repository's DVC cache; the user's own configuration may move it."""
    return Path(run_dvc(["cache", "dir"], repository).splitlines()[-1])


def track_data(folder: Path, *, cache: Path) -> set[str]:
    """Put data/ of a checkout into its DVC cache and describe it in data.dvc.

    Returns
    -------
    set of str
        The names of the files in the cache.

    Raises
    ------
    StageFailed
        The cache contained a corrupt file under one of the names: DVC keeps that one.
    """
    run_dvc(["add", "--quiet", "data"], folder)
    verdicts = verify(cache, tracked((folder / "data.dvc").read_text(encoding="utf-8")).values())
    if corrupt := set_aside(cache, verdicts):
        raise refuse(cache, corrupt)
    return set(verdicts)


def prune_data(data: Path, datasets: Sequence[str]) -> None:
    """Remove the folders that earlier runs left of other data sets; files beside them stay."""
    for folder in data.iterdir() if data.is_dir() else ():
        if folder.is_dir() and folder.name not in datasets:
            shutil.rmtree(folder)


def tracked_rows(repository: Path, revision: str, path: str, *, key: str) -> list[dict[str, Any]]:
    """Return the rows with `id` equal to `key` of a tracked Parquet file, as it was at a revision.

    Only the cache is read. Raises `NotReproducible` when the revision or the cache lacks the file,
    or when the cache has other content under its name.
    """
    import pyarrow.parquet as pq

    cache = cache_of(repository)
    known: dict[str, str] = {}
    for owner in OWNERS:
        known |= tracked(file_at(repository, revision, owner) or "")
    name = name_within(cache, known, Path(path))
    if not name or not verify(cache, [name]).get(name):
        raise NotReproducible(
            f"{path} of {revision} in the DVC cache",
            came=f"no file, or a corrupt one: {name or 'not tracked'}",
            do="restore it with `dvc pull`, or from a copy of the cache",
        )
    table = pq.read_table(object_file(cache, name), filters=[("id", "==", key)])
    rows: list[dict[str, Any]] = table.to_pylist()
    return rows


def check_out(path: str, folder: Path) -> bool:
    """Bring one output back from the cache; return False when the cache does not have it."""
    done = subprocess.run(
        [*DVC, "checkout", "--quiet", path],
        cwd=folder,
        env=dvc_environment(folder),
        capture_output=True,
    )
    return done.returncode == 0


def run_dvc(arguments: Sequence[str], folder: Path) -> str:
    """Run a short DVC command in a folder; return its standard output. Raises `StageFailed`."""
    return run_command([*DVC, *arguments], folder, environment=dvc_environment(folder))


def dvc_environment(folder: Path) -> dict[str, str]:
    """Return the environment of DVC in a checkout.

    DVC's state lies inside the checkout, for its owner alone: DVC keeps pickles there,
    and its default is a folder that everybody may write to.
    """
    state = folder / ".dvc" / "tmp" / "site"
    state.mkdir(mode=0o700, parents=True, exist_ok=True)
    state.chmod(0o700)
    return {**stage_environment(), "DVC_SITE_CACHE_DIR": str(state)}
