"""A fresh clone has the branch `main` alone, whatever branch it was cloned from."""

import subprocess
from pathlib import Path

import pytest

from tests.support import repositories

NAME = ("-c", "user.name=ada", "-c", "user.email=ada@example.org")


@pytest.mark.parametrize("branch", ["main", "under-test"])
def test_a_fresh_clone_has_one_branch(
    branch: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    origin = tmp_path / "origin"
    git = ["git", "-C", str(origin)]
    subprocess.run(["git", "init", "--quiet", "-b", branch, str(origin)], check=True)
    subprocess.run([*git, *NAME, "commit", "--quiet", "--allow-empty", "-m", "One"], check=True)
    subprocess.run([*git, "branch", "retraining"], check=True)
    subprocess.run([*git, "tag", "made-before"], check=True)
    monkeypatch.setattr(repositories, "ROOT", origin)

    clone = repositories.fresh_clone(tmp_path / "clone")

    listed = ["git", "-C", str(clone), "for-each-ref", "--format=%(refname)"]
    refs = subprocess.run(listed, check=True, capture_output=True, text=True).stdout.split()
    assert refs == ["refs/heads/main"]
