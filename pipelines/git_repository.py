"""What git knows of a repository: commits, files at a revision, uncommitted changes."""

from __future__ import annotations

import atexit
import os
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

from core.errors import StageFailed, UncommittedChanges
from core.inherited_environment import inherited
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
    _require_commit(repository)
    status = ["status", "--porcelain", "--untracked-files=all", "--", *WATCHED]
    changes = run_command(
        ["git", *status], repository, environment=_with_users_git_settings()
    ).splitlines()
    if changes:
        files = ", ".join(line[2:].strip() for line in changes[:LISTED_FILES])
        raise UncommittedChanges(
            "a commit of everything that shapes a model",
            came=f"uncommitted changes in {files}",
            do="commit them, then retrain",
        )


def can_give_back(repository: Path, path: str) -> bool:
    """Return True when HEAD holds this existing file as it is: not changed, not untracked."""
    status = ["status", "--porcelain", "--untracked-files=all", "--ignored", "--", path]
    try:
        changes = run_command(["git", *status], repository, environment=_with_users_git_settings())
    except StageFailed:  # not a repository
        return False
    return not changes


def _require_commit(repository: Path) -> None:
    """Raise `UncommittedChanges` where git finds no commit, or does not trust the folder."""
    head = _call_git(["rev-parse", "--verify", "HEAD"], repository)
    if head.returncode == 0:
        return
    if "dubious ownership" in head.stderr:
        raise UncommittedChanges(
            "a repository that git trusts",
            came=f"{repository}, which belongs to another user",
            do=f"run `git config --global --add safe.directory {shlex.quote(str(repository))}`",
        )
    raise UncommittedChanges(
        "a git repository with a commit",
        came=str(repository),
        do="clone Perennial with git, or commit once",
    )


def run_git(arguments: Sequence[str], folder: Path, *, strip: bool = True) -> str:
    """Run git in a folder; return its standard output. Raises `StageFailed`."""
    output = run_command(["git", *arguments], folder, environment=stage_environment())
    return output.strip() if strip else output


def git_succeeds(arguments: Sequence[str], folder: Path) -> bool:
    """Return True when git exits with 0."""
    return _call_git(arguments, folder).returncode == 0


def _call_git(arguments: Sequence[str], folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["git", *arguments],
        cwd=folder,
        env=stage_environment(),
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )


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

    This interpreter comes first on the path, and no code is found but the clone's own. Git reads
    no settings of the user and of the system, and speaks English.
    """
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    return {
        **inherited(os.environ, credentials=True),
        "PATH": path,
        "LC_ALL": "C.UTF-8",
        "DVC_NO_ANALYTICS": "1",
        "PYTHONHASHSEED": "0",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": str(_own_git_settings()),
        "GIT_TERMINAL_PROMPT": "0",
    }


def _with_users_git_settings() -> dict[str, str]:
    """Return the environment for the user's checkout: ignored files and line ends are theirs."""
    own = stage_environment()
    return {name: value for name, value in own.items() if not name.startswith("GIT_CONFIG_")}


@cache
def _own_git_settings() -> Path:
    """Return the file of the settings that replace the user's and the system's.

    Hooks, templates, signing and names of remotes of the user would break the clone of a
    retraining. Only what the user declared safe stays, in a file: git's child processes read no
    variables for it.
    """
    folders = _safe_folders()
    if not folders:
        return Path(os.devnull)
    handle, name = tempfile.mkstemp(prefix="perennial-git-")
    os.close(handle)
    atexit.register(Path(name).unlink, missing_ok=True)
    for folder in folders:
        subprocess.run(
            ["git", "config", "--file", name, "--add", "safe.directory", folder], check=True
        )
    return Path(name)


def _safe_folders() -> list[str]:
    """Return the folders of other owners that the user or the system told git to trust.

    A clone asks for the folder `.git` by its own path.
    """
    folders: list[str] = []
    for scope in ("--system", "--global"):
        done = subprocess.run(
            ["git", "config", scope, "--get-all", "safe.directory"],
            capture_output=True,
            text=True,
            check=False,
        )
        for folder in done.stdout.splitlines():
            folders += [folder] if folder in ("", "*") else [folder, f"{folder}/.git"]
    return folders
