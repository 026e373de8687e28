"""Fresh clones of this repository: committed files, and nothing that was made in its checkout."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
PROGRAMS = {"perennial": "-m cli.app", "dvc": "-m dvc", "python": ""}


def fresh_clone(clone: Path) -> Path:
    """Clone HEAD as the branch `main`: no tag, no other branch, no remote, no DVC cache, no home.

    A checkout in which the demo has run holds retrainings' tags and branches; none of them may
    reach a test.
    """
    git = ["git", "-C", str(clone)]
    origin = ["clone", "--quiet", "--no-tags", "--single-branch", str(ROOT), str(clone)]
    subprocess.run(["git", *origin], check=True)
    subprocess.run([*git, "checkout", "--quiet", "-B", "main"], check=True)
    subprocess.run([*git, "remote", "remove", "origin"], check=True)
    return clone


def link_programs(clone: Path) -> Path:
    """Give a clone a `.venv` that runs this interpreter with the clone's code; return its `bin`.

    `make setup` takes it for finished, and leaves this interpreter's packages alone.
    """
    programs = clone / ".venv" / "bin"
    programs.mkdir(parents=True, exist_ok=True)
    for name, arguments in PROGRAMS.items():
        script = f'#!/bin/sh\nexec "{sys.executable}" {arguments} "$@"\n'
        programs.joinpath(name).write_text(script, encoding="utf-8")
        programs.joinpath(name).chmod(0o755)
    programs.with_name(".ready").touch()
    return programs
