"""Damaged files of a DVC cache are set aside and computed anew, or refused by name."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from core.errors import NotReproducible, StageFailed
from pipelines.dvc_repository import cache_of, track_data, tracked_rows
from pipelines.workspace import Workspace, open_workspace
from tests.support.dvc_repositories import is_sound, make_repository, rot

STAGES = """
stages:
  embed:
    cmd: python embed.py
    deps: [data]
    outs:
      - vectors: {persist: true}
  train:
    cmd: python train.py
    deps: [vectors]
    outs: [model]
"""
EMBED = """
import pathlib, numpy as np, pyarrow.parquet as pq
if not pathlib.Path("vectors/v.npy").exists():
    pathlib.Path("vectors").mkdir(exist_ok=True)
    pathlib.Path("vectors/complete").write_text("yes")
    rows = pq.read_table("data/rows.parquet").num_rows
    np.save("vectors/v.npy", np.arange(rows, dtype=np.float32))
"""
TRAIN = """
import pathlib, numpy as np
pathlib.Path("model").mkdir(exist_ok=True)
pathlib.Path("model/sum").write_text(str(float(np.load("vectors/v.npy").sum())))
"""
ROWS = pa.table({"id": [str(number) for number in range(8)], "phrase": ["fx"] * 8})
SUM = "28.0"


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = make_repository(
        tmp_path / "repository", stages=STAGES, ignored="/data\n/vectors\n/model\n"
    )
    for name, text in (("embed.py", EMBED), ("train.py", TRAIN)):
        (folder / name).write_text(text)
    return folder


def write_data(folder: Path) -> None:
    shutil.rmtree(folder / "data", ignore_errors=True)
    (folder / "data").mkdir()
    pq.write_table(ROWS, folder / "data" / "rows.parquet")


def retrain(
    repository: Path, tag: str, *, start: str = "", publish: bool = True
) -> tuple[str, bool]:
    """The sum in the model, and whether the outputs of the run called `start` were at hand."""
    with open_workspace(repository) as workspace:
        for name in ("embed.py", "train.py"):
            shutil.copy(repository / name, workspace.folder / name)
        brought = workspace.restore(start, ["data", "vectors"])
        write_data(workspace.folder)
        workspace.track_data()
        workspace.reproduce(["train"])
        if publish:
            workspace.publish(message="run", tag=tag, branches=[f"perennial/block/{tag}"])
        return (workspace.folder / "model" / "sum").read_text(), brought


def files(repository: Path) -> list[Path]:
    return [path for path in (cache_of(repository) / "files").rglob("*") if path.is_file()]


def holding(repository: Path, start: bytes) -> Path:
    [path] = [path for path in files(repository) if path.read_bytes().startswith(start)]
    return path


def test_one_changed_float_is_set_aside_and_embedded_anew(repository: Path) -> None:
    assert retrain(repository, "first") == (SUM, False)
    cached = holding(repository, b"\x93NUMPY")
    rot(cached)
    assert np.load(cached).sum() != float(SUM)
    assert cached.stat().st_mode & 0o777 == 0o444
    assert retrain(repository, "second", start="first") == (SUM, False)
    assert [path for path in files(repository) if not is_sound(path)] == []
    [aside] = (cache_of(repository) / "rotten").iterdir()
    assert aside.name == cached.parent.name + cached.name
    assert retrain(repository, "third", start="second") == (SUM, True)


def test_a_cache_that_rotted_everywhere_is_computed_anew(repository: Path) -> None:
    retrain(repository, "first")
    for path in files(repository):
        rot(path)
    assert retrain(repository, "second", start="first") == (SUM, False)
    assert [path for path in files(repository) if not is_sound(path)] == []


def test_a_corrupt_file_that_only_the_run_cache_names_is_refused_and_then_computed_anew(
    repository: Path,
) -> None:
    retrain(repository, "never", publish=False)
    model = holding(repository, SUM.encode())
    rot(model)
    with pytest.raises(StageFailed, match=rf"corrupt {model.parent.name}{model.name}.*run again"):
        retrain(repository, "first")
    assert retrain(repository, "first") == (SUM, False)


def test_a_snapshot_whose_name_is_taken_by_a_corrupt_file_is_refused(repository: Path) -> None:
    cache = cache_of(repository)
    write_data(repository)
    track_data(repository, cache=cache)
    rows = holding(repository, b"PAR1")
    rot(rows)
    write_data(repository)
    with pytest.raises(StageFailed, match=f"corrupt {rows.parent.name}{rows.name}"):
        track_data(repository, cache=cache)
    write_data(repository)
    track_data(repository, cache=cache)
    assert pq.read_table(repository / "data" / "rows.parquet").equals(ROWS)


def test_rows_of_a_revision_come_from_the_cache_unharmed_or_not_at_all(repository: Path) -> None:
    retrain(repository, "first")
    assert tracked_rows(repository, "first", "data/rows.parquet", key="3") == [
        {"id": "3", "phrase": "fx"}
    ]
    rot(holding(repository, b"PAR1"))
    for revision, path in (
        ("first", "data/rows.parquet"),
        ("first", "data/other"),
        ("nowhere", "data/rows.parquet"),
    ):
        with pytest.raises(NotReproducible, match=path):
            tracked_rows(repository, revision, path, key="3")


def test_dvc_keeps_its_state_inside_the_checkout_for_its_owner_alone(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A DVC call without our setting would write to `outside`, as it would to /var/tmp."""
    outside = tmp_path / "outside"
    states: list[tuple[int, bool]] = []
    monkeypatch.setenv("DVC_SITE_CACHE_DIR", str(outside))
    reproduce = Workspace.reproduce

    def reproduce_and_look(workspace: Workspace, targets: Sequence[str]) -> None:
        reproduce(workspace, targets)
        states.append(state(workspace.folder))

    monkeypatch.setattr(Workspace, "reproduce", reproduce_and_look)
    retrain(repository, "first")
    retrain(repository, "second", start="first")
    tracked_rows(repository, "first", "data/rows.parquet", key="3")
    write_data(repository)
    track_data(repository, cache=cache_of(repository))
    assert [*states, state(repository)] == [(0o700, True)] * 3
    assert not outside.exists()


def state(folder: Path) -> tuple[int, bool]:
    """The mode of the folder of DVC's state, and whether a database lies in it."""
    site = folder / ".dvc" / "tmp" / "site"
    return site.stat().st_mode & 0o777, any(site.rglob("*.db"))
