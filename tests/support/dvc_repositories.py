"""A small repository that DVC keeps, and what happens to a cache that grows old."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

from pipelines.workspace import dvc_environment, stage_environment


def git(folder: Path, *arguments: str) -> str:
    command = ["git", "-c", "user.name=t", "-c", "user.email=t@localhost", *arguments]
    return subprocess.run(
        command, cwd=folder, check=True, capture_output=True, text=True
    ).stdout.strip()


def dvc(folder: Path, *arguments: str) -> str:
    command = [sys.executable, "-m", "dvc", *arguments]
    return subprocess.run(
        command, cwd=folder, env=dvc_environment(folder), check=True, capture_output=True, text=True
    ).stdout


def make_repository(folder: Path, *, stages: str, ignored: str) -> Path:
    """One commit with dvc.yaml, an empty params.yaml and .gitignore."""
    folder.mkdir()
    git(folder, "init", "--quiet", "--initial-branch=main")
    subprocess.run(
        [sys.executable, "-m", "dvc", "init", "--quiet"],
        env=stage_environment(),
        cwd=folder,
        check=True,
    )
    for name, text in (("dvc.yaml", stages), ("params.yaml", "{}\n"), (".gitignore", ignored)):
        (folder / name).write_text(text)
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "-m", "start")
    return folder


def rot(path: Path) -> None:
    """Another last byte, the same size and mode: DVC trusts a file by its mode."""
    mode = path.stat().st_mode
    content = path.read_bytes()
    path.chmod(0o644)
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    path.chmod(mode)


def is_sound(path: Path) -> bool:
    """Is the file of a DVC cache what it is named after?"""
    return hashlib.md5(path.read_bytes()).hexdigest() == (
        path.parent.name + path.name
    ).removesuffix(".dir")
