"""Is this machine fit? Each question answered by looking, none by guessing."""

from __future__ import annotations

import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from tempfile import gettempdir

from core.errors import PerennialError
from core.groups import refuse_unknown
from core.settings import REPOSITORY, Settings

ENOUGH_DISK = 5 * 2**30  # bytes; the demo leaves about 2 GB under var/ and .dvc/cache
ENOUGH_TEMPORARY = (
    2**30
)  # bytes; a retraining's clone: 100 a row while a snapshot is taken, what its stages write, the embedder


@dataclass(frozen=True)
class Finding:
    """One answer; `do` is empty when it is a good one."""

    name: str
    ok: bool
    found: str
    do: str


def examine(settings: Settings) -> list[Finding]:
    """Ask every question, also after a bad answer."""
    questions: dict[str, Callable[[Settings], tuple[bool, str, str]]] = {
        "python": _python,
        "packages": _packages,
        "git": _git,
        "params.yaml": _params,
        "ports": _ports,
        "disk": _disk,
        "temporary files": _temporary,
        "database": _database,
    }
    return [_ask(name, question, settings) for name, question in questions.items()]


def _ask(
    name: str, question: Callable[[Settings], tuple[bool, str, str]], settings: Settings
) -> Finding:
    try:
        return Finding(name, *question(settings))
    except PerennialError as error:
        return Finding(name, False, f"wanted {error.wanted}; came {error.came}", error.do)


def _python(_: Settings) -> tuple[bool, str, str]:
    return (
        (3, 11) <= sys.version_info[:2] < (3, 14),
        platform.python_version(),
        "use Python 3.11, 3.12 or 3.13",
    )


def _packages(_: Settings) -> tuple[bool, str, str]:
    wrong = wrong_packages(REPOSITORY / "requirements.lock")
    return not wrong, ", ".join(wrong[:5]) or "as in requirements.lock", "call `make setup`"


def wrong_packages(lock: Path) -> list[str]:
    """Names of locked packages that are installed in another version, or should be and are not."""
    from packaging.requirements import Requirement

    lines = [
        line.split(" \\")[0]
        for line in lock.read_text(encoding="utf-8").splitlines()
        if re.match(r"[a-z0-9].*==", line)
    ]
    wanted = [
        requirement
        for requirement in map(Requirement, lines)
        if requirement.marker is None or requirement.marker.evaluate()
    ]
    return [
        f"{requirement.name} {_installed(requirement.name)}"
        for requirement in wanted
        if not _fits(requirement)
    ]


def _installed(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "missing"


def _fits(requirement: object) -> bool:
    found = _installed(requirement.name)  # type: ignore[attr-defined]
    return found != "missing" and requirement.specifier.contains(found, prereleases=True)  # type: ignore[attr-defined]


def _git(settings: Settings) -> tuple[bool, str, str]:
    if shutil.which("git") is None:
        return False, "no git", "install git"
    if not settings.repository.is_dir():
        return (
            False,
            f"no folder {settings.repository}",
            "set PERENNIAL_REPOSITORY to a git checkout with a commit",
        )
    asked = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"],
        cwd=settings.repository,
        capture_output=True,
        text=True,
        check=False,
    )
    return (
        asked.returncode == 0,
        asked.stdout.strip() or asked.stderr.strip(),
        "set PERENNIAL_REPOSITORY to a git checkout with a commit",
    )


def _params(settings: Settings) -> tuple[bool, str, str]:
    from core.params import load_params

    params = load_params(settings.repository / "params.yaml")
    refuse_unknown(settings.groups, params.classifiers)
    missing = sorted(
        {
            b.source.query
            for b in params.classifiers.values()
            if not (settings.repository / b.source.query).is_file()
        }
    )
    return (
        not missing,
        f"no {', '.join(missing)}" if missing else ", ".join(params.classifiers),
        "write the query file",
    )


def _ports(settings: Settings) -> tuple[bool, str, str]:
    from machine.ports import check_ports
    from machine.programs import further_services, list_programs
    from machine.supervision import connect_supervisor

    if connect_supervisor(settings) is not None:
        return True, "held by `perennial up`", ""
    programs = (*list_programs(settings), *further_services(settings))
    check_ports(settings, programs)
    return True, ", ".join(str(program.port) for program in programs if program.port), ""


def _disk(settings: Settings) -> tuple[bool, str, str]:
    return _room(
        next(folder for folder in (settings.home, *settings.home.parents) if folder.exists()),
        ENOUGH_DISK,
        "PERENNIAL_HOME",
    )


def _temporary(_: Settings) -> tuple[bool, str, str]:
    return _room(Path(gettempdir()), ENOUGH_TEMPORARY, "TMPDIR")


def _room(folder: Path, enough: int, setting: str) -> tuple[bool, str, str]:
    free = shutil.disk_usage(folder).free
    return (
        free >= enough,
        f"{free / 2**30:.0f} GB free in {folder}",
        f"make room for {enough / 2**30:.0f} GB there, or set {setting}",
    )


def _database(settings: Settings) -> tuple[bool, str, str]:
    from core.database import open_database
    from core.logs import redact

    with open_database(settings) as urls:
        return True, redact(urls.perennial), ""
