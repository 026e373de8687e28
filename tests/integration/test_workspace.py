"""A retraining's clone: committed code only, a lock that is published, a run of its own."""

from __future__ import annotations

import os
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
import yaml
from sqlalchemy.engine import Engine

from core.errors import Busy, StageFailed, UncommittedChanges
from flows.context import hold_classifiers
from pipelines import git_repository
from pipelines.dvc_repository import prune_data
from pipelines.git_repository import file_at, require_committed
from pipelines.workspace import open_workspace
from tests.support.dvc_repositories import dvc, git, make_repository

DVC_YAML = """
stages:
  double:
    cmd: >-
      python -c "from pathlib import Path; n = int(Path('data/n').read_text());
      Path('out').write_text(str(2 * n))"
    deps: [data]
    outs: [out]
  fail:
    cmd: python -c "raise SystemExit('the stage says why')"
"""


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    return make_repository(tmp_path / "repository", stages=DVC_YAML, ignored="/data\n/out\n")


def retrain(repository: Path, number: int, tag: str) -> None:
    with open_workspace(repository) as workspace:
        (workspace.folder / "data").mkdir()
        (workspace.folder / "data" / "n").write_text(str(number))
        workspace.track_data()
        workspace.reproduce(["double"])
        workspace.publish(message="run", tag=tag, branches=[f"perennial/block/{tag}"])


def test_a_published_run_is_up_to_date_after_checkout(repository: Path) -> None:
    retrain(repository, 3, "first")
    retrain(repository, 4, "second")
    git(repository, "checkout", "--quiet", "first")
    dvc(repository, "checkout", "--quiet")
    assert (repository / "out").read_text() == "6"
    assert "Running stage" not in dvc(repository, "repro", "double")
    assert git(repository, "rev-parse", "perennial/block/second") == git(
        repository, "rev-parse", "second^{commit}"
    )


@pytest.mark.parametrize("name", ["übung", "日本", "it's #1 & more?"])
def test_a_repository_may_lie_in_any_folder(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    repository = make_repository(
        tmp_path / name / "repository", stages=DVC_YAML, ignored="/data\n/out\n"
    )
    retrain(repository, 3, "first")
    git(repository, "checkout", "--quiet", "first")
    dvc(repository, "checkout", "--quiet")
    assert (repository / "out").read_text() == "6"


USERS_SETTINGS = {
    "clone.defaultRemoteName": "upstream",
    "commit.gpgSign": "true",
    "tag.gpgSign": "true",
    "push.gpgSign": "true",
    "gpg.program": "/no/such/program",
    "core.hooksPath": "HOOKS",
    "init.templateDir": "TEMPLATE",
    "protocol.file.allow": "never",
    "core.autocrlf": "true",
    "tag.forceSignAnnotated": "true",
}
ALL_HOOKS = (
    *("pre-commit", "commit-msg", "post-checkout", "pre-push"),
    *("pre-receive", "update", "post-receive", "reference-transaction"),
)


@pytest.fixture
def poisoned_git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A user whose git signs, renames, forbids and refuses."""
    home = tmp_path / "user"
    for hooks in (home / "hooks", home / "template" / "hooks"):
        hooks.mkdir(parents=True)
        for name in ALL_HOOKS:
            (hooks / name).write_text("#!/bin/sh\nexit 1\n")
            (hooks / name).chmod(0o755)
    monkeypatch.setenv("HOME", str(home))
    places = {"HOOKS": str(home / "hooks"), "TEMPLATE": str(home / "template")}
    for name, value in USERS_SETTINGS.items():
        git(tmp_path, "config", "--global", name, places.get(value, value))
    git_repository._own_git_settings.cache_clear()
    yield
    git_repository._own_git_settings.cache_clear()


def test_a_retraining_depends_on_no_setting_of_the_users_git(
    repository: Path, poisoned_git: None
) -> None:
    with open_workspace(repository) as workspace:
        workspace.try_publishing()
    retrain(repository, 3, "first")
    text = git(repository, "show", "first^{commit}:data.dvc")
    assert "md5" in text


def test_a_trial_leaves_nothing(repository: Path) -> None:
    before = git(repository, "for-each-ref")
    with open_workspace(repository) as workspace:
        workspace.try_publishing()
        assert git(workspace.folder, "tag") == ""
    assert git(repository, "for-each-ref") == before


def test_a_repository_that_takes_no_push_is_refused_before_the_training(repository: Path) -> None:
    hook = repository / ".git" / "hooks" / "pre-receive"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\necho 'nobody pushes here' >&2; exit 1\n")
    hook.chmod(0o755)
    with (
        open_workspace(repository) as workspace,
        pytest.raises(StageFailed, match="nobody pushes here"),
    ):
        workspace.try_publishing()


@pytest.mark.skipif(os.getuid() != 0, reason="only root gives files to another user")
def test_a_repository_of_another_owner_names_the_cure(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for path in (repository, repository / ".git"):
        os.chown(path, 12345, 12345)
    git_repository._own_git_settings.cache_clear()
    with pytest.raises(UncommittedChanges, match="which belongs to another user") as refusal:
        require_committed(repository)
    assert "safe.directory" in refusal.value.do

    subprocess.run(shlex.split(refusal.value.do.split("`")[1]), check=True)
    git_repository._own_git_settings.cache_clear()
    require_committed(repository)
    with open_workspace(repository) as workspace:
        workspace.try_publishing()
    git_repository._own_git_settings.cache_clear()


def test_the_users_ignored_files_are_no_changes(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "ignored").write_text("*.swp\n")
    git(tmp_path, "config", "--global", "core.excludesFile", str(tmp_path / "ignored"))
    (repository / "queries").mkdir()
    (repository / "queries" / ".a.sql.swp").write_text("")
    require_committed(repository)


def test_a_file_is_read_from_a_commit_and_from_nowhere_else(repository: Path) -> None:
    (repository / "params.yaml").write_text("seed: 8\n")
    git(repository, "add", "params.yaml")
    assert [
        file_at(repository, revision, "params.yaml") for revision in ("HEAD", "", "nowhere")
    ] == ["{}\n", None, None]


def test_old_data_sets_go_and_other_peoples_files_stay(tmp_path: Path) -> None:
    for name in ("kept", "old"):
        (tmp_path / name).mkdir()
    (tmp_path / "notes.txt").write_text("mine")
    prune_data(tmp_path, ["kept"])
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["kept", "notes.txt"]


def test_a_run_leaves_the_users_tree_alone_and_no_clone_behind(repository: Path) -> None:
    before = git(repository, "rev-parse", "HEAD")
    with open_workspace(repository) as workspace:
        folder = workspace.folder
    assert not folder.exists()
    assert git(repository, "rev-parse", "HEAD") == before
    assert git(repository, "status", "--porcelain") == ""


def test_the_cache_is_the_one_that_the_user_chose(repository: Path) -> None:
    dvc(repository, "cache", "dir", "--local", "../shared")
    retrain(repository, 3, "first")
    assert not (repository / ".dvc" / "cache").exists()
    git(repository, "checkout", "--quiet", "first")
    dvc(repository, "checkout", "--quiet")
    assert (repository / "out").read_text() == "6"


def test_a_later_run_starts_from_the_lock_and_outputs_of_an_earlier_one(repository: Path) -> None:
    retrain(repository, 3, "first")
    with open_workspace(repository) as workspace:
        assert workspace.restore("first", ["data", "out"])
        assert (workspace.folder / "out").read_text() == "6"
        assert not workspace.restore("never", ["data"])


def test_a_failing_stage_is_named_with_what_it_said(repository: Path) -> None:
    with (
        open_workspace(repository) as workspace,
        pytest.raises(StageFailed, match="the stage says why"),
    ):
        workspace.reproduce(["fail"])


def test_uncommitted_params_are_refused_by_name(repository: Path) -> None:
    require_committed(repository)
    (repository / "params.yaml").write_text("seed: 8\n")
    with pytest.raises(UncommittedChanges, match=r"params\.yaml"):
        require_committed(repository)


def test_two_runs_of_one_classifier_exclude_each_other(engine: Engine) -> None:
    with hold_classifiers(engine, ["block", "chapter"]):
        with hold_classifiers(engine, ["phase"]):
            pass
        with pytest.raises(Busy, match="block"), hold_classifiers(engine, ["block"]):
            pass
    with hold_classifiers(engine, ["block"]):
        pass


def test_a_run_that_lost_its_locks_may_not_go_on(engine: Engine) -> None:
    with hold_classifiers(engine, ["block", "chapter"]) as held:
        held.require()
        pid = held.connection.scalar(sa.text("select pg_backend_pid()"))
        with engine.begin() as connection:
            connection.execute(sa.text("select pg_terminate_backend(:pid)"), {"pid": pid})
        with pytest.raises(Busy, match="lost"):
            held.require()


def test_a_run_publishes_the_params_of_its_own_classifiers_only(repository: Path) -> None:
    (repository / "params.yaml").write_text("seed: 1\nclassifiers:\n  a: {x: 1}\n  b: {x: 2}\n")
    git(repository, "commit", "--quiet", "-am", "two blocks")
    with open_workspace(repository) as workspace:
        for dataset in ("mine", "other"):
            (workspace.folder / "data" / dataset).mkdir(parents=True)
        (workspace.folder / "data" / "n").mkdir()
        workspace.narrow(["a"], ["mine"])
        assert yaml.safe_load((workspace.folder / "params.yaml").read_text()) == {
            "seed": 1,
            "classifiers": {"a": {"x": 1}},
        }
        assert [folder.name for folder in (workspace.folder / "data").iterdir()] == ["mine"]
    with open_workspace(repository) as workspace:
        workspace.narrow(["a", "b"], [])
        assert git(workspace.folder, "status", "--porcelain", "--", "params.yaml") == ""
