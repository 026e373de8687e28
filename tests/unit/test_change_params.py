"""A change of params.yaml in a workspace that git refuses leaves the narrowed file as it was."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.errors import ParamsError, StageFailed
from pipelines.workspace import Workspace
from tests.support.dvc_repositories import git

WHOLE = "classifiers: {organ: {C: 1}, course: {C: 1}}\n"
NARROWED = "classifiers: {organ: {C: 1, history_days: 730}}\n"


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """Of a run of `organ`, whose window was chosen."""
    git(tmp_path, "init", "--quiet")
    (tmp_path / "params.yaml").write_text(WHOLE)
    git(tmp_path, "add", "params.yaml")
    git(tmp_path, "commit", "--quiet", "-m", "start")
    (tmp_path / "params.yaml").write_text(NARROWED)
    return Workspace(tmp_path, "", tmp_path / "cache")


def test_a_commit_that_fails_leaves_the_narrowed_file(workspace: Workspace) -> None:
    with pytest.raises(StageFailed):  # HEAD would not change: git refuses an empty commit
        workspace.change_params(lambda text: text, message="Tune organ: nothing")
    assert (workspace.folder / "params.yaml").read_text() == NARROWED


def test_an_edit_that_fails_on_the_narrowed_file_commits_nothing(workspace: Workspace) -> None:
    def refuse_narrowed(text: str) -> str:
        if text == NARROWED:
            raise ParamsError("a block of its own", came="an alias", do="edit params.yaml by hand")
        return text.replace("C: 1", "C: 2")

    with pytest.raises(ParamsError):
        workspace.change_params(refuse_narrowed, message="Tune organ: C")
    assert (workspace.folder / "params.yaml").read_text() == NARROWED
    assert git(workspace.folder, "rev-list", "--count", "HEAD").strip() == "1"
