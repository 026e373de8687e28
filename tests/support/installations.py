"""Perennial as a user has it: a clone, a home and ports of its own, driven through its commands."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.support.places import clean_environment, port_settings
from tests.support.repositories import fresh_clone

AUTHOR = ("-c", "user.name=test", "-c", "user.email=test@localhost")
NO_NETWORK = {
    "HTTP_PROXY": "http://127.0.0.1:9",
    "HTTPS_PROXY": "http://127.0.0.1:9",
    "NO_PROXY": "127.0.0.1,localhost",
}
"""Whatever leaves this machine fails at once."""


@dataclass(frozen=True)
class Place:
    """A clone of this repository, and the environment in which its commands run.

    `program` is the module of the command line in the clone's code.
    """

    clone: Path
    environment: dict[str, str]
    program: str = "cli.app"

    @property
    def home(self) -> Path:
        return Path(self.environment["PERENNIAL_HOME"])

    def perennial(self, *arguments: str, timeout: int = 600) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", self.program, *arguments]
        return self._call(command, timeout=timeout)

    def run(self, *command: str, timeout: int = 300) -> str:
        done = self._call(command, timeout=timeout)
        assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-8000:]
        return done.stdout

    def commit(self, message: str) -> None:
        self.run("git", "add", "--all")
        self.run("git", *AUTHOR, "commit", "--quiet", "--message", message)

    def url(self, name: str) -> str:
        return f"http://127.0.0.1:{self.environment[f'PERENNIAL_{name.upper()}_PORT']}"

    def _call(
        self, command: list[str] | tuple[str, ...], *, timeout: int
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command,
            cwd=self.clone,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=timeout,
        )


def new_place(folder: Path, *, revision: str = "HEAD", **settings: str) -> Place:
    """A fresh clone in `folder`, a home beside it, free ports; `settings` go into the environment.

    Every process of the place imports the clone's code, whatever this test session imports.
    """
    clone = fresh_clone(folder / "clone", revision=revision)
    own = {"PERENNIAL_HOME": str(folder / "var"), "PYTHONPATH": str(clone)}
    environment = {**clean_environment(), **port_settings(), **NO_NETWORK, **own, **settings}
    return Place(clone, environment)
