from __future__ import annotations

import os
from pathlib import Path

import pytest

from bentos.keys import ANONYMOUS, Keys, hash_key, new_key, read_keys, require_keys_beyond_loopback
from core.errors import KeysUnusable


def bearer(key: str, scheme: str = "Bearer") -> list[tuple[bytes, bytes]]:
    return [(b"host", b"here"), (b"authorization", f"{scheme} {key}".encode())]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "keys"


def test_any_of_several_keys_opens_and_nothing_else_does(file: Path) -> None:
    first, first_hash = new_key()
    second, second_hash = new_key()
    file.write_text(f"# who may ask\n{first_hash} desk of the hospital\n\n{second_hash}\n")
    keys = Keys(file)
    assert keys.holder(bearer(first)) and keys.holder(bearer(second, "bearer"))
    wrong = [
        bearer(first_hash),
        bearer(first + "x"),
        bearer(""),
        bearer(first, "Basic"),
        [],
        [(b"authorization", first.encode())],
        bearer("é"),
    ]
    assert [keys.holder(headers) for headers in wrong] == [None] * len(wrong)


def test_without_a_file_everybody_may_ask() -> None:
    assert Keys(None).holder([]) == ANONYMOUS


def test_an_empty_file_admits_nobody(file: Path) -> None:
    file.write_text("")
    assert not Keys(file).holder([])


def test_keys_are_rotated_without_a_start(file: Path) -> None:
    old, old_hash = new_key()
    new, new_hash = new_key()
    file.write_text(old_hash)
    keys = Keys(file)
    file.write_text(f"{old_hash}\n{new_hash}\n")
    keys.refresh()
    assert keys.holder(bearer(old)) and keys.holder(bearer(new))
    file.write_text(new_hash)
    os.utime(file, ns=(1, 1))
    keys.refresh()
    assert not keys.holder(bearer(old)) and keys.holder(bearer(new))


@pytest.mark.parametrize("damage", ["a key instead of its hash", None])
def test_the_last_good_keys_stay_when_the_file_breaks(file: Path, damage: str | None) -> None:
    key, hashed = new_key()
    file.write_text(hashed)
    keys = Keys(file)
    file.write_text(damage) if damage else file.unlink()
    with pytest.raises(KeysUnusable):
        keys.refresh()
    assert keys.holder(bearer(key))


def test_an_error_in_the_file_names_the_line_and_never_shows_it(file: Path) -> None:
    key, hashed = new_key()
    file.write_text(f"{hashed}\n{key}\n")
    with pytest.raises(KeysUnusable, match="line 2") as refused:
        read_keys(file)
    assert key not in str(refused.value)


def test_a_key_is_long_random_text() -> None:
    keys = {new_key()[0] for _ in range(50)}
    assert len(keys) == 50 and all(len(key) >= 43 for key in keys)
    key, hashed = new_key()
    assert hashed == hash_key(key)


@pytest.mark.parametrize(
    ("host", "open_door"),
    [
        *(("127.0.0.1", False), ("127.0.0.9", False), ("::1", False), ("localhost", False)),
        *(("0.0.0.0", True), ("10.1.2.3", True), ("::", True), ("desk.example", True)),
    ],
)
def test_only_loopback_needs_no_keys(host: str, open_door: bool, file: Path) -> None:
    if open_door:
        with pytest.raises(KeysUnusable, match="PERENNIAL_API_KEYS_FILE"):
            require_keys_beyond_loopback(host, None)
    else:
        require_keys_beyond_loopback(host, None)
    file.write_text(new_key()[1])
    require_keys_beyond_loopback(host, file)


def test_a_file_that_is_not_there_is_refused_at_start(file: Path) -> None:
    with pytest.raises(KeysUnusable):
        Keys(file)
