"""Reading requirements.lock and the profiles beside it."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from packaging.markers import Marker
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.support.repositories import ROOT

EVERYTHING = ROOT / "requirements.lock"
PROFILES = sorted((ROOT / "requirements").glob("*.lock"), key=lambda path: path.stem)
PYTHONS = ("3.11", "3.12", "3.13")


@dataclass(frozen=True)
class Pin:
    """One line of a lock: `name==version ; marker` and its hashes."""

    name: str
    version: str
    marker: str
    hashes: frozenset[str]


def read_lock(path: Path) -> list[Pin]:
    """Every pin, in the order of the file."""
    pins: list[Pin] = []
    for block in path.read_text(encoding="utf-8").replace("\\\n", " ").splitlines():
        if block and block[0].isalnum():
            line, *hashes = block.split("--hash=")
            found = Requirement(line.strip())
            version = next(iter(found.specifier)).version
            pins.append(
                Pin(
                    canonicalize_name(found.name),
                    version,
                    str(found.marker or ""),
                    frozenset(hash.split()[0] for hash in hashes),
                )
            )
    return pins


def environment(python: str) -> dict[str, str]:
    """The markers of Linux on x86-64 under a Python."""
    common = {
        "sys_platform": "linux",
        "platform_system": "Linux",
        "os_name": "posix",
        "platform_machine": "x86_64",
    }
    named = {
        "implementation_name": "cpython",
        "platform_python_implementation": "CPython",
        "extra": "",
    }
    return {
        **common,
        **named,
        "python_version": python,
        "python_full_version": f"{python}.0",
        "implementation_version": f"{python}.0",
    }


def installs(pins: list[Pin], python: str) -> dict[str, str]:
    """Name to version of what a Python installs from a lock, which names each package once."""
    chosen = [
        pin for pin in pins if not pin.marker or Marker(pin.marker).evaluate(environment(python))
    ]
    assert len({pin.name for pin in chosen}) == len(chosen), "one version a package"
    return {pin.name: pin.version for pin in chosen}


def unmet(extra: str, *, pinned: dict[str, str], python: str) -> list[str]:
    """Requirements of an extra, direct or not, that the pins do not meet by installed metadata."""
    missing: list[str] = []
    seen: set[tuple[str, ...]] = set()
    waiting = list(declared(extra))
    while waiting:
        requirement = waiting.pop()
        name = canonicalize_name(requirement.name)
        if name in overridden():
            continue
        if not requirement.specifier.contains(pinned.get(name, "0.dev0"), prereleases=True):
            missing.append(str(requirement))
        if (name, *sorted(requirement.extras)) not in seen:
            seen.add((name, *sorted(requirement.extras)))
            waiting += needs(requirement, version=pinned.get(name), python=python)
    return missing


@cache
def overridden() -> frozenset[str]:
    """Names of packages whose requirements pyproject.toml replaces."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    lines = project["tool"]["uv"]["override-dependencies"]
    return frozenset(canonicalize_name(Requirement(line).name) for line in lines)


def declared(extra: str) -> Iterator[Requirement]:
    """The requirements of the project with an extra, extras within extras resolved."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    waiting = [f"perennial[{extra}]"]
    yield from map(Requirement, project["dependencies"])
    while waiting:
        requirement = Requirement(waiting.pop())
        if requirement.name != "perennial":
            yield requirement
        else:
            waiting += [
                line
                for name in requirement.extras
                for line in project["optional-dependencies"][name]
            ]


def needs(asked: Requirement, *, version: str | None, python: str) -> list[Requirement]:
    """What the installed package requires; nothing when another version is installed.

    The lock may pin another version for another Python.
    """
    try:
        found = distribution(asked.name)
    except PackageNotFoundError:
        return []
    lines = (found.requires or []) if found.version == version else []
    return [
        requirement
        for requirement in map(Requirement, lines)
        if holds(requirement, asked.extras, python=python)
    ]


def holds(requirement: Requirement, extras: set[str], *, python: str) -> bool:
    """Whether the marker is true under a Python, for the package with these extras."""
    marker = requirement.marker
    place = environment(python)
    return marker is None or any(
        marker.evaluate({**place, "extra": extra}) for extra in extras | {""}
    )
