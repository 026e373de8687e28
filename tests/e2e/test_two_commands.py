"""`make demo` and `make test` in one clone, in either order, as often as one likes.

    python -m pytest -m slow tests/e2e/test_two_commands.py

A demo leaves tags, branches, a DVC cache and running services in the clone that the tests run in.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.installations import Place, new_place
from tests.support.repositories import fresh_clone, link_programs

TESTS = (".venv/bin/python", "-m", "pytest", "-q", "-m", "not slow", "tests/e2e")


def test_a_clone_takes_nothing_but_committed_files(tmp_path: Path) -> None:
    clone = fresh_clone(tmp_path / "clone")
    git = ["git", "-C", str(clone)]
    listed = ["for-each-ref", "--format=%(refname)"]
    refs = subprocess.run([*git, *listed], check=True, capture_output=True, text=True)
    ignored = ["status", "--porcelain", "--ignored"]
    extra = subprocess.run([*git, *ignored], check=True, capture_output=True, text=True)
    assert refs.stdout.split() == ["refs/heads/main"]
    assert extra.stdout == ""
    assert not (clone / ".dvc" / "cache").exists()


@pytest.fixture(scope="module")
def user(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """A clone with its home inside it, as `make` leaves it; its ports are free ones."""
    user = new_place(tmp_path_factory.mktemp("two"))
    link_programs(user.clone)
    own = Place(user.clone, {**user.environment, "PERENNIAL_HOME": str(user.clone / "var")})
    yield own
    own.perennial("down")


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_the_demo_and_the_tests_pass_in_one_clone_twice(user: Place) -> None:
    for _ in range(2):
        user.run("make", "demo", "SCALE=small", timeout=1500)
        status = json.loads(user.run(".venv/bin/perennial", "--json", "status"))
        assert status, "the demo leaves its services up"
        user.run(*TESTS, timeout=2400)
