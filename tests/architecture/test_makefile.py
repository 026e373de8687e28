"""The Makefile sets up what a target needs, and nothing before."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.architecture.test_map import ROOT


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A folder with the Makefile and what its `setup` depends on."""
    shutil.copy(ROOT / "Makefile", tmp_path)
    (tmp_path / "requirements.lock").touch()
    (tmp_path / "pyproject.toml").touch()
    (tmp_path / "requirements").mkdir()
    (tmp_path / "requirements" / "application.py").touch()
    return tmp_path


def make(checkout: Path, *arguments: str) -> str:
    # The tests themselves may run under make.
    environment = {name: value for name, value in os.environ.items() if "MAKE" not in name}
    done = subprocess.run(
        ["make", *arguments],
        cwd=checkout,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_help_leaves_no_trace(checkout: Path) -> None:
    before = sorted(checkout.rglob("*"))
    assert "make setup" in make(checkout)
    assert sorted(checkout.rglob("*")) == before


@pytest.mark.parametrize("target", ["demo", "data", "up"])
def test_the_state_of_dvc_is_for_its_owner_before_dvc_is_called(
    target: str, checkout: Path
) -> None:
    commands = make(checkout, "--dry-run", target).splitlines()
    folder = commands.index("mkdir -p -m 700 .dvc/tmp/site")
    assert folder < next(
        number for number, command in enumerate(commands) if ".venv/bin/perennial" in command
    )


def test_every_target_is_in_the_list(checkout: Path) -> None:
    phony = next(
        line
        for line in (ROOT / "Makefile").read_text(encoding="utf-8").splitlines()
        if line.startswith(".PHONY:")
    )
    shown = {line.split()[1] for line in make(checkout).splitlines()}
    assert shown == set(phony.split()[1:])
