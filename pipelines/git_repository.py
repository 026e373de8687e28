"""What git knows of a repository: commits, files at a revision, uncommitted changes."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from core.errors import UncommittedChanges
from pipelines.subprocesses import failed

WATCHED = (
    "params.yaml",
    "dvc.yaml",
    "queries",
    "core",
    "pipelines",
    "bentos",
    "monitoring",
    "machine",
    "flows",
    "operations",
    "cli",
)
"""A retraining requires these to be committed."""
AUTHOR = (
    *("-c", "user.name=perennial"),
    *("-c", "user.email=perennial@localhost"),
    *("-c", "commit.gpgsign=false"),
    *("-c", "tag.gpgsign=false"),
)
"""Options of git for commits and tags that Perennial makes."""
LISTED_FILES = 10


def commit_of(repository: Path, revision: str) -> str:
    """Return the commit that a tag or branch names, "" when the repository has no such revision."""
    call = ["rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}"]
    return run_git(call, repository) if git_succeeds(call, repository) else ""


def file_at(repository: Path, revision: str, path: str) -> str | None:
    """Return the text of a committed file, None when there is no such file or commit."""
    if not revision:  # git would show what is staged
        return None
    call = ["show", "--end-of-options", f"{revision}:{path}"]
    if not git_succeeds(call, repository):
        return None
    return run_git(call, repository, strip=False)


def commit_facts(repository: Path, commit: str) -> dict[str, str]:
    """Return {committed_at, parent, subject}; empty when the repository has no such commit."""
    if not commit_of(repository, commit):
        return {}
    call = ["show", "--no-patch", "--format=%cI%n%P%n%s", "--end-of-options", commit]
    lines = run_git(call, repository).splitlines()
    return dict(zip(("committed_at", "parent", "subject"), lines, strict=True))


def require_committed(repository: Path) -> None:
    """Raise `UncommittedChanges` when code, queries or params.yaml differ from HEAD."""
    if not git_succeeds(["rev-parse", "--verify", "HEAD"], repository):
        raise UncommittedChanges(
            "a git repository with a commit",
            came=str(repository),
            do="clone Perennial with git, or commit once",
        )
    status = ["status", "--porcelain", "--untracked-files=all", "--", *WATCHED]
    changes = run_git(status, repository).splitlines()
    if changes:
        files = ", ".join(line[2:].strip() for line in changes[:LISTED_FILES])
        raise UncommittedChanges(
            "everything that shapes a model committed",
            came=f"changes in {files}",
            do="commit them, then retrain",
        )


def run_git(arguments: Sequence[str], folder: Path, *, strip: bool = True) -> str:
    """Run git in a folder; return its standard output. Raises `StageFailed`."""
    output = run_command(["git", *arguments], folder, environment=stage_environment())
    return output.strip() if strip else output


def git_succeeds(arguments: Sequence[str], folder: Path) -> bool:
    """Return True when git exits with 0."""
    done = subprocess.run(
        ["git", *arguments], cwd=folder, env=stage_environment(), capture_output=True
    )
    return done.returncode == 0


def run_command(command: Sequence[str], folder: Path, *, environment: Mapping[str, str]) -> str:
    """Run a short command; return its standard output. Raises `StageFailed`."""
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise failed(command, (done.stderr or done.stdout).splitlines())
    return done.stdout


def stage_environment() -> dict[str, str]:
    """Return the environment of git, DVC and the stages.

    This interpreter comes first on the path, and no code is found but the clone's own.
    """
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    inherited = {
        name: value
        for name, value in os.environ.items()
        if name not in {"PYTHONPATH", "DVC_ROOT"} and not name.startswith("GIT_")
    }
    return {**inherited, "PATH": path, "DVC_NO_ANALYTICS": "1", "PYTHONHASHSEED": "0"}
