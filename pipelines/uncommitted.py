"""Brings the uncommitted changes of a repository into a clone of it, for a trial."""

from __future__ import annotations

import shutil
from pathlib import Path

from pipelines.git_repository import WATCHED, run_git


def uncommitted_files(repository: Path) -> list[str]:
    """Return the files that shape a model and differ from HEAD: changed, new or deleted."""
    changed = ["diff", "--name-only", "--relative", "-z", "HEAD", "--", *WATCHED]
    new = ["ls-files", "--others", "--exclude-standard", "-z", "--", *WATCHED]
    names = [name for call in (changed, new) for name in run_git(call, repository).split("\0")]
    return sorted(filter(None, names))


def bring_uncommitted(repository: Path, clone: Path) -> list[str]:
    """Make these files of the clone those of the repository's working tree; return their names."""
    names = uncommitted_files(repository)
    for name in names:
        source = repository / name
        target = clone / name
        target.unlink(missing_ok=True)
        if source.is_file():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, target)
    return names
