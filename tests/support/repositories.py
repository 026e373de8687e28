"""Fresh clones of this repository: committed files, and nothing that was made in its checkout."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
PROGRAMS = {"perennial": "-m cli.app", "dvc": "-m dvc", "python": ""}


def fresh_clone(clone: Path, *, revision: str = "HEAD") -> Path:
    """Clone one commit as the branch `main`: no tag, other branch, remote, DVC cache or home.

    A checkout in which the demo has run holds retrainings' tags and branches; none of them may
    reach a test.
    """
    git = ["git", "-C", str(clone)]
    origin = ["clone", "--quiet", "--no-tags", "--single-branch", str(ROOT), str(clone)]
    subprocess.run(["git", *origin], check=True)
    subprocess.run([*git, "checkout", "--quiet", "-B", "main", revision], check=True)
    subprocess.run([*git, "remote", "remove", "origin"], check=True)
    for branch in _branches(git):
        if branch != "main":  # the one that was cloned
            subprocess.run([*git, "branch", "--quiet", "-D", branch], check=True)
    return clone


def _branches(git: list[str]) -> list[str]:
    listed = [*git, "for-each-ref", "--format=%(refname:short)", "refs/heads"]
    return subprocess.run(listed, check=True, capture_output=True, text=True).stdout.split()


def has_commit(revision: str) -> bool:
    """Whether the history of this repository reaches a commit: that of a shallow clone may not."""
    asked = ["git", "-C", str(ROOT), "merge-base", "--is-ancestor", revision, "HEAD"]
    return subprocess.run(asked, capture_output=True).returncode == 0


def take_over(clone: Path, *, origin: Path) -> None:
    """Bring into a clone what the retrainings of another left: tags, branches and the DVC cache."""
    refs = [f"refs/{kind}/*:refs/{kind}/*" for kind in ("tags", "heads/perennial")]
    cache = ["cache", "dir", "--quiet", "--local", str(origin / ".dvc" / "cache")]
    subprocess.run(["git", "-C", str(clone), "fetch", "--quiet", str(origin), *refs], check=True)
    subprocess.run([sys.executable, "-m", "dvc", *cache], cwd=clone, check=True)


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
