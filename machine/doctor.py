"""Checks whether this machine is fit to run everything: inspects without changing anything."""

from __future__ import annotations

import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from tempfile import gettempdir
from typing import TYPE_CHECKING

from core.errors import PerennialError
from core.groups import refuse_unknown
from core.settings import REPOSITORY, Settings

if TYPE_CHECKING:
    from packaging.requirements import Requirement

ENOUGH_DISK = 5 * 2**30  # bytes; the demo leaves about 2 GB under var/ and .dvc/cache
# Bytes; the clone of a retraining takes 100 per row while a snapshot is written, the outputs of its
# stages, and the embedder.
ENOUGH_TEMPORARY = 2**30

Answer = tuple[bool, str, str]
"""Whether it is good, what was found, and what to do otherwise."""
Question = Callable[[Settings], Answer]


@dataclass(frozen=True)
class Finding:
    """The answer to one question; `do` says how to correct a bad one."""

    name: str
    ok: bool
    found: str
    do: str


def examine(settings: Settings) -> list[Finding]:
    """Ask all questions, also after a bad answer."""
    return [_ask(name, question, settings) for name, question in QUESTIONS.items()]


def wrong_packages(lock: Path) -> list[str]:
    """Return the locked packages that are missing or installed in another version."""
    from packaging.requirements import Requirement

    lines = [
        line.split(" \\")[0]
        for line in lock.read_text(encoding="utf-8").splitlines()
        if re.match(r"[a-z0-9].*==", line)
    ]
    requirements = [Requirement(line) for line in lines]
    return [
        f"{requirement.name} {_installed(requirement.name)}"
        for requirement in requirements
        if _applies(requirement) and not _fits(requirement)
    ]


def _ask(name: str, question: Question, settings: Settings) -> Finding:
    try:
        return Finding(name, *question(settings))
    except PerennialError as error:
        return Finding(name, False, f"expected {error.wanted}, got {error.came}", error.do)


def _python(_: Settings) -> Answer:
    supported = (3, 11) <= sys.version_info[:2] < (3, 14)
    return supported, platform.python_version(), "use Python 3.11, 3.12 or 3.13"


def _packages(_: Settings) -> Answer:
    wrong = wrong_packages(REPOSITORY / "requirements.lock")
    return not wrong, ", ".join(wrong[:5]) or "as in requirements.lock", "run `make setup`"


def _installed(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "missing"


def _applies(requirement: Requirement) -> bool:
    return requirement.marker is None or requirement.marker.evaluate()


def _fits(requirement: Requirement) -> bool:
    installed = _installed(requirement.name)
    return installed != "missing" and requirement.specifier.contains(installed, prereleases=True)


def _git(settings: Settings) -> Answer:
    if shutil.which("git") is None:
        return False, "no git", "install git"
    do = "set PERENNIAL_REPOSITORY to a git checkout with a commit"
    if not settings.repository.is_dir():
        return False, f"no folder {settings.repository}", do
    head = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"],
        cwd=settings.repository,
        capture_output=True,
        text=True,
        check=False,
    )
    return head.returncode == 0, head.stdout.strip() or head.stderr.strip(), do


def _params(settings: Settings) -> Answer:
    from core.params.schema import load_params

    params = load_params(settings.repository / "params.yaml")
    refuse_unknown(settings.groups, params.classifiers)
    queries = sorted({block.source.query for block in params.classifiers.values()})
    missing = [query for query in queries if not (settings.repository / query).is_file()]
    answer = f"no {', '.join(missing)}" if missing else ", ".join(params.classifiers)
    return not missing, answer, "write the query file"


def _ports(settings: Settings) -> Answer:
    from machine.ports import check_ports
    from machine.programs import further_services, list_programs
    from machine.supervision import connect_supervisor

    if connect_supervisor(settings) is not None:
        return True, "held by `perennial up`", ""
    programs = (*list_programs(settings), *further_services(settings))
    check_ports(settings, programs)
    return True, ", ".join(str(program.port) for program in programs if program.port), ""


def _disk(settings: Settings) -> Answer:
    home = settings.home
    existing = next(folder for folder in (home, *home.parents) if folder.exists())
    return _room(existing, ENOUGH_DISK, "PERENNIAL_HOME")


def _temporary(_: Settings) -> Answer:
    return _room(Path(gettempdir()), ENOUGH_TEMPORARY, "TMPDIR")


def _room(folder: Path, enough: int, setting: str) -> Answer:
    free = shutil.disk_usage(folder).free
    return (
        free >= enough,
        f"{free / 2**30:.0f} GB free in {folder}",
        f"free {enough / 2**30:.0f} GB there, or set {setting}",
    )


def _database(settings: Settings) -> Answer:
    from core.database import open_database
    from core.logs import redact

    with open_database(settings) as urls:
        return True, redact(urls.perennial), ""


def _watch(settings: Settings) -> Answer:
    from machine.watched import powers_of

    powers = powers_of(settings)
    sentences = "; ".join(f"{name}: {sentence}" for name, sentence in powers.items())
    return True, sentences or "not known before a window of answers is judged", ""


QUESTIONS: Mapping[str, Question] = {
    "python": _python,
    "packages": _packages,
    "git": _git,
    "params.yaml": _params,
    "ports": _ports,
    "disk": _disk,
    "temporary files": _temporary,
    "database": _database,
    "watch": _watch,
}
