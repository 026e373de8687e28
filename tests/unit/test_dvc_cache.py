"""Files of the DVC cache by name and content."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from pipelines.dvc_cache import name_within, object_file, set_aside, tracked, verify
from tests.support.dvc_repositories import rot

LOCK = """
schema: '2.0'
stages:
  embed:
    cmd: embed
    deps: [{path: data, hash: md5, md5: 0a.dir}]
    outs: [{path: build/embeddings, hash: md5, md5: 1a.dir}, {path: build/note, hash: md5, md5: 1b}]
  talk: {cmd: talk}
"""


def store(cache: Path, content: bytes, *, end: str = "") -> str:
    name = hashlib.md5(content).hexdigest() + end
    path = object_file(cache, name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    path.chmod(0o444)
    return name


def store_folder(cache: Path, files: dict[str, str]) -> str:
    return store(
        cache,
        json.dumps([{"md5": name, "relpath": path} for path, name in files.items()]).encode(),
        end=".dir",
    )


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def test_a_lock_and_a_data_file_name_what_they_own() -> None:
    assert tracked(LOCK) == {"build/embeddings": "1a.dir", "build/note": "1b"}
    assert tracked("outs:\n- {md5: 2a.dir, hash: md5, path: data}\n") == {"data": "2a.dir"}
    assert tracked("") == {}


def test_each_name_is_judged_by_its_content_with_what_its_folder_holds(cache: Path) -> None:
    vectors = store(cache, b"vectors")
    note = store(cache, b"note")
    folder = store_folder(cache, {"vectors.npy": vectors, "sub/note": note})
    assert verify(cache, [folder, "0" * 32]) == {folder: True, vectors: True, note: True}
    rot(object_file(cache, vectors))
    assert verify(cache, [folder]) == {folder: True, vectors: False, note: True}
    assert verify(cache, [folder], known={vectors, note}) == {folder: True}
    rot(object_file(cache, folder))
    assert verify(cache, [folder]) == {folder: False}


def test_what_cannot_be_read_is_not_sound(cache: Path) -> None:
    object_file(cache, "0" * 32).mkdir(parents=True)
    assert verify(cache, ["0" * 32]) == {"0" * 32: False}


def test_one_corrupt_file_has_the_whole_cache_searched_and_the_run_cache_forgotten(
    cache: Path,
) -> None:
    names = [store(cache, content) for content in (b"asked for", b"not asked for", b"sound")]
    for name in names[:2]:
        rot(object_file(cache, name))
    (cache / "runs" / "ab").mkdir(parents=True)
    (cache / "files" / "md5" / "ab").mkdir()
    (cache / "files" / "md5" / "ab" / ".half-written").write_bytes(b"")
    assert set_aside(cache, verify(cache, names[2:])) == []
    assert (cache / "runs").exists()
    assert set_aside(cache, verify(cache, names[:1])) == names[:1]
    assert sorted(path.name for path in (cache / "rotten").iterdir()) == sorted(names[:2])
    assert verify(cache, names) == {names[2]: True}
    assert not (cache / "runs").exists()
    assert (cache / "files" / "md5" / "ab" / ".half-written").exists()


def test_a_file_is_found_under_its_own_name_or_in_its_folder(cache: Path) -> None:
    folder = store_folder(cache, {"notes/rows.parquet": "3a"})
    known = {"data": folder, "build/note": "1b"}
    paths = ("data/notes/rows.parquet", "build/note", "data/other", "elsewhere")
    assert [name_within(cache, known, Path(path)) for path in paths] == ["3a", "1b", "", ""]
    rot(object_file(cache, folder))
    assert name_within(cache, known, Path(paths[0])) == ""
