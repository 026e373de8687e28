from __future__ import annotations

import subprocess
from pathlib import Path

from pipelines.uncommitted import bring_uncommitted


def git(folder: Path, *words: str) -> None:
    author = ("-c", "user.name=test", "-c", "user.email=test@localhost")
    subprocess.run(["git", *author, *words], cwd=folder, check=True, capture_output=True)


def test_changed_staged_new_and_deleted_files_come_and_nothing_else(tmp_path: Path) -> None:
    repository, clone = tmp_path / "repository", tmp_path / "clone"
    (repository / "queries").mkdir(parents=True)
    git(repository, "init", "--quiet")
    for name in ("params.yaml", "queries/gone.sql", "queries/kept.sql", "README.md"):
        (repository / name).write_text("old")
    git(repository, "add", ".")
    git(repository, "commit", "--quiet", "-m", "First")
    git(tmp_path, "clone", "--quiet", str(repository), str(clone))

    (repository / "params.yaml").write_text("new")
    (repository / "README.md").write_text("shapes no model")
    (repository / "queries" / "gone.sql").unlink()
    (repository / "queries" / "Prüfung 1.sql").write_text("new")
    (repository / "queries" / "staged.sql").write_text("new")
    git(repository, "add", "queries/staged.sql")
    names = bring_uncommitted(repository, clone)
    assert names == [
        "params.yaml",
        "queries/Prüfung 1.sql",
        "queries/gone.sql",
        "queries/staged.sql",
    ]
    found = {file.name: file.read_text() for file in (clone / "queries").iterdir()}
    assert found == {"kept.sql": "old", "Prüfung 1.sql": "new", "staged.sql": "new"}
    assert (clone / "params.yaml").read_text() == "new"
    assert (clone / "README.md").read_text() == "old"
