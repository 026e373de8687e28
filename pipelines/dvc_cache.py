"""The files of the DVC cache, by name and by content.

DVC trusts a read-only file without reading it, so a run hashes the files that it builds on.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import yaml

from core.errors import StageFailed
from core.logs import get_logger

FOLDER = ".dir"
ASIDE = "rotten"
"""Folder of the cache for corrupt files; DVC does not look there."""
SHOWN_NAMES = 5
NAME = re.compile(r"[0-9a-f]{32}(\.dir)?")


def tracked(text: str) -> dict[str, str]:
    """Return output path -> name in the cache, from the text of a data.dvc or dvc.lock.

    The name of a folder ends in `.dir`.
    """
    described = yaml.safe_load(text) or {}
    owners = [described, *described.get("stages", {}).values()]
    return {
        out["path"]: out["md5"] for owner in owners for out in owner.get("outs", ()) if "md5" in out
    }


def object_file(cache: Path, name: str) -> Path:
    """Return the path of a name's content in the cache."""
    return cache / "files" / "md5" / name[:2] / name[2:]


def members(cache: Path, name: str) -> dict[str, str]:
    """Return path within a tracked folder -> name in the cache; empty for a file."""
    listed = json.loads(object_file(cache, name).read_bytes()) if name.endswith(FOLDER) else ()
    return {entry["relpath"]: entry["md5"] for entry in listed}


def verify(cache: Path, names: Iterable[str], *, known: Collection[str] = ()) -> dict[str, bool]:
    """Return name -> whether its content still has the hash of its name.

    Covers the names and the files of their folders, except those that the cache lacks or that are
    `known` to be sound. Reads about 300 MB per second.
    """
    verdicts: dict[str, bool] = {}
    pending = list(names)
    while pending:
        name = pending.pop()
        if name in known or name in verdicts or not object_file(cache, name).exists():
            continue
        verdicts[name] = _is_sound(object_file(cache, name), name)
        if verdicts[name]:
            pending += members(cache, name).values()
    return verdicts


def name_within(cache: Path, known: Mapping[str, str], path: Path) -> str:
    """Return the cache's name of a file that is tracked itself or in a tracked folder.

    Returns "" when it is neither, or when the list of the folder is corrupt.
    """
    owner = next((folder for folder in (path, *path.parents) if folder.as_posix() in known), None)
    if owner is None:
        return ""
    name = known[owner.as_posix()]
    if owner == path:
        return name
    if not verify(cache, [name]).get(name):
        return ""
    return members(cache, name).get(path.relative_to(owner).as_posix(), "")


def set_aside(cache: Path, verdicts: Mapping[str, bool]) -> list[str]:
    """Return the corrupt names; if there is one, move every corrupt file of the cache aside.

    DVC then regards them as missing: it computes them again, or fetches them with `dvc pull`.
    Its run cache is removed too: a stage that read a corrupt file may have left a wrong result.
    """
    judged = [name for name, is_sound in verdicts.items() if not is_sound]
    if judged:
        corrupt = [name for name, is_sound in verify(cache, _names(cache)).items() if not is_sound]
        (cache / ASIDE).mkdir(exist_ok=True)
        for name in corrupt:
            with suppress(FileNotFoundError):  # another run was faster
                object_file(cache, name).replace(cache / ASIDE / name)
        shutil.rmtree(cache / "runs", ignore_errors=True)
        get_logger().warning(
            "dvc cache", state="corrupt files moved aside", files=corrupt, folder=str(cache / ASIDE)
        )
    return judged


def refuse(cache: Path, corrupt: Sequence[str]) -> StageFailed:
    """Return the error of a run that used corrupt files."""
    return StageFailed(
        "files of the DVC cache with the content of their names",
        came=f"corrupt {', '.join(corrupt[:SHOWN_NAMES])}",
        do=f"run again to compute them again; the files are in {cache / ASIDE}",
    )


def _names(cache: Path) -> list[str]:
    """Return the names of all complete files: DVC writes drafts under other names."""
    paths = sorted((cache / "files" / "md5").glob("??/*"))
    names = (path.parent.name + path.name for path in paths)
    return [name for name in names if NAME.fullmatch(name)]


def _is_sound(path: Path, name: str) -> bool:
    """Return False for other content, and for a file that cannot be read to its end."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "md5").hexdigest() == name.removesuffix(FOLDER)
    except OSError:
        return False
