"""What the DVC cache holds, by name and by content: DVC trusts a file by its mode alone, so we hash what a run builds on."""

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
"""Folder of the cache that rotten files are moved to; DVC does not look there."""
NAME = re.compile(r"[0-9a-f]{32}(\.dir)?")


def tracked(text: str) -> dict[str, str]:
    """Output path -> name in the cache, of the text of a data.dvc or dvc.lock; a folder's name ends in `.dir`."""
    described = yaml.safe_load(text) or {}
    owners = [described, *described.get("stages", {}).values()]
    return {
        out["path"]: out["md5"] for owner in owners for out in owner.get("outs", ()) if "md5" in out
    }


def object_file(cache: Path, name: str) -> Path:
    """Where the cache keeps the content of that name."""
    return cache / "files" / "md5" / name[:2] / name[2:]


def members(cache: Path, name: str) -> dict[str, str]:
    """Path within a tracked folder -> name in the cache; empty for a file."""
    listed = json.loads(object_file(cache, name).read_bytes()) if name.endswith(FOLDER) else ()
    return {entry["relpath"]: entry["md5"] for entry in listed}


def verify(cache: Path, names: Iterable[str], *, known: Collection[str] = ()) -> dict[str, bool]:
    """Name -> is its content still what it is named after? Of the names and what their folders hold.

    What the cache lacks and what is `known` is left out. Reads some 300 MB a second.
    """
    verdicts: dict[str, bool] = {}
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        if name in known or name in verdicts or not object_file(cache, name).exists():
            continue
        verdicts[name] = _is_sound(object_file(cache, name), name)
        waiting += members(cache, name).values() if verdicts[name] else ()
    return verdicts


def name_within(cache: Path, known: Mapping[str, str], path: Path) -> str:
    """The cache's name of a file that is tracked, or lies in a tracked folder; "" when neither, or the folder's list is rotten."""
    owner = next((folder for folder in (path, *path.parents) if folder.as_posix() in known), None)
    name = known[owner.as_posix()] if owner else ""
    if not owner or owner == path:
        return name
    return (
        members(cache, name).get(path.relative_to(owner).as_posix(), "")
        if verify(cache, [name]).get(name)
        else ""
    )


def set_aside(cache: Path, verdicts: Mapping[str, bool]) -> list[str]:
    """Return the names that were judged rotten; when there is one, move every rotten file of the whole cache to `rotten/` in it.

    DVC then takes them for missing: it computes them anew, or brings them back with `dvc pull`. Its run cache is forgotten
    with them: a stage that once read such a file may have left a wrong result there.
    """
    judged = [name for name, sound in verdicts.items() if not sound]
    if judged:
        rotten = [name for name, sound in verify(cache, _names(cache)).items() if not sound]
        (cache / ASIDE).mkdir(exist_ok=True)
        for name in rotten:
            with suppress(FileNotFoundError):  # another run was quicker
                object_file(cache, name).replace(cache / ASIDE / name)
        shutil.rmtree(cache / "runs", ignore_errors=True)
        get_logger().warning(
            "dvc cache", state="rotten files moved aside", files=rotten, folder=str(cache / ASIDE)
        )
    return judged


def refuse(cache: Path, rotten: Sequence[str]) -> StageFailed:
    """The error of a run that DVC has given rotten files."""
    do = f"run again, and it is computed anew; the files are in {cache / ASIDE}"
    return StageFailed(
        "files of the DVC cache to hold what they are named after",
        came=f"rotten {', '.join(rotten[:5])}",
        do=do,
    )


def _names(cache: Path) -> list[str]:
    """Of all files that are whole: DVC writes under another name first."""
    found = (
        path.parent.name + path.name for path in sorted((cache / "files" / "md5").glob("??/*"))
    )
    return [name for name in found if NAME.fullmatch(name)]


def _is_sound(path: Path, name: str) -> bool:
    """A file that cannot be read to its end is no sound one."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "md5").hexdigest() == name.removesuffix(FOLDER)
    except OSError:
        return False
