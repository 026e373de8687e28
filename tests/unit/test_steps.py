"""Which classifiers a failed stage leaves out, with a workspace that runs no DVC."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from core.errors import PerennialError, QueryRefused, SettingsError, SourceUnreachable, StageFailed
from flows import steps
from flows.steps import LAST, SPLIT, _write_each, reproduce_each

FILES = {**SPLIT, **LAST}


class Workspace:
    """Makes the last file of a stage, or fails for the classifiers that it is told to fail for.

    A stage that fails leaves its folder.
    """

    def __init__(self, folder: Path, *, fails: Sequence[str]) -> None:
        self.folder = folder
        self.fails = fails
        self.calls: list[tuple[list[str], bool]] = []

    def reproduce(self, targets: list[str], *, keep_going: bool = False) -> None:
        self.calls.append((targets, keep_going))
        failed = []
        for target in targets:
            stage, name = target.split("@")
            file = self.folder / "build" / "classifiers" / name / FILES[stage]
            file.parent.mkdir(parents=True, exist_ok=True)
            if name in self.fails:
                failed.append(name)
            else:
                file.touch()
        if failed:
            raise StageFailed("success", came=f"the error of {failed[-1]}", do="look")


def reproduced(
    tmp_path: Path, stages: dict[str, str], *fails: str
) -> tuple[dict[str, Any], Workspace]:
    workspace: Any = Workspace(tmp_path, fails=fails)
    return reproduce_each(workspace, stages, ["a", "b", "c"]), workspace


@pytest.mark.parametrize("stages", [SPLIT, LAST])
def test_each_failed_classifier_has_an_error_of_its_own(
    tmp_path: Path, stages: dict[str, str]
) -> None:
    errors, workspace = reproduced(tmp_path, stages, "a", "c")
    assert {name: error.came for name, error in errors.items()} == {
        "a": "the error of a",
        "c": "the error of c",
    }
    targets = [f"{stage}@{name}" for stage in stages for name in "abc"]
    assert workspace.calls[0] == (targets, True)
    assert workspace.calls[1] == ([f"{stage}@a" for stage in stages], False)


def test_one_call_is_enough_when_nothing_fails(tmp_path: Path) -> None:
    errors, workspace = reproduced(tmp_path, LAST)
    assert errors == {} and len(workspace.calls) == 1


def test_a_failure_of_all_is_raised_once(tmp_path: Path) -> None:
    with pytest.raises(StageFailed):
        reproduced(tmp_path, LAST, "a", "b", "c")


class Sources:
    """A source per classifier; each raises its own errors in turn, then it answers."""

    def __init__(self, **errors: list[type[PerennialError]]) -> None:
        self.errors = errors
        self.params = self

    def classifier(self, name: str) -> Any:
        return SimpleNamespace(source=SimpleNamespace(dataset=f"rows of {name}"))

    def write(self, _context: object, _data: Path, own: list[str], *, as_of: object) -> list[Any]:
        left = self.errors.get(own[0], [])
        if left:
            raise left.pop(0)(f"the source of {own[0]}", came="none", do="look")
        return own


def written(monkeypatch: pytest.MonkeyPatch, sources: Any) -> tuple[list[Any], dict[str, Any]]:
    monkeypatch.setattr(steps, "write_snapshots", sources.write)
    run: Any = SimpleNamespace(now=None)
    return _write_each(sources, Path("data"), ["a", "b"], run)


@pytest.mark.parametrize("error", [QueryRefused, SettingsError, SourceUnreachable])
def test_the_source_of_one_classifier_stops_no_other(
    monkeypatch: pytest.MonkeyPatch, error: type[PerennialError]
) -> None:
    snapshots, errors = written(monkeypatch, Sources(a=[error, error]))
    assert snapshots == ["b"]
    assert [(name, type(found)) for name, found in errors.items()] == [("a", error)]


def test_a_source_that_comes_back_is_read_once_more(monkeypatch: pytest.MonkeyPatch) -> None:
    assert written(monkeypatch, Sources(a=[SourceUnreachable])) == (["b", "a"], {})


def test_the_first_error_is_raised_when_no_source_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SourceUnreachable, match="the source of a"):
        written(monkeypatch, Sources(a=[SourceUnreachable], b=[SettingsError]))
