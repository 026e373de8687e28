"""Files appear whole or not at all; a locked file has its name only when it is locked."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from pathlib import Path

import pytest

from core.errors import DiskFull
from core.files import appearing_whole, create_locked, replace_private, replacing


def test_a_file_is_replaced_only_at_the_end(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "file"
    with replacing(target) as part:
        part.write_text("new")
        assert not target.exists()
    assert target.read_text() == "new"
    assert list(target.parent.iterdir()) == [target]


def test_after_a_failure_the_previous_file_stays(tmp_path: Path) -> None:
    target = tmp_path / "file"
    target.write_text("previous")
    with pytest.raises(ValueError), replacing(target) as part:
        part.write_text("half")
        raise ValueError
    assert target.read_text() == "previous"
    assert list(tmp_path.iterdir()) == [target]


def test_a_full_disk_has_a_name_and_other_errors_keep_theirs(tmp_path: Path) -> None:
    with pytest.raises(DiskFull), replacing(tmp_path / "file"):
        raise OSError(errno.ENOSPC, "no space")
    with pytest.raises(PermissionError), replacing(tmp_path / "file"):
        raise PermissionError(errno.EACCES, "denied")


def test_a_private_file_is_readable_by_its_owner_alone(tmp_path: Path) -> None:
    target = tmp_path / "file"
    replace_private(target, [b"one", b"two"])
    assert target.read_bytes() == b"onetwo"
    assert stat.S_IMODE(target.stat().st_mode) == 0o600


def test_a_locked_file_stays_locked_until_it_is_closed(tmp_path: Path) -> None:
    target = tmp_path / "owner"
    descriptor = create_locked(target)
    with target.open("r+") as other:
        with pytest.raises(BlockingIOError):
            fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.close(descriptor)
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
    assert list(tmp_path.iterdir()) == [target]


def test_a_locked_file_that_cannot_get_its_name_is_removed(tmp_path: Path) -> None:
    (tmp_path / "owner").mkdir()
    with pytest.raises(OSError):
        create_locked(tmp_path / "owner")
    assert [path.name for path in tmp_path.iterdir()] == ["owner"]


def test_the_first_folder_to_appear_stays(tmp_path: Path) -> None:
    target = tmp_path / "folder"
    with appearing_whole(target) as part:
        part.mkdir()
        (target).mkdir()
        (target / "first").touch()
    assert [path.name for path in tmp_path.rglob("*")] == ["folder", "first"]
