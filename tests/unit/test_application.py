"""The project installs in editable form only: no wheel or source distribution can be built."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from importlib.metadata import Distribution
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
REFUSAL = "Perennial is an application: install it from its repository with `make setup`"


def call_hook(hook: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Call a hook of the build backend as pip and uv do: in a process, in the repository."""
    build_system = PYPROJECT["build-system"]
    (backend_folder,) = build_system["backend-path"]
    return subprocess.run(
        [
            sys.executable,
            "-c",
            f"import {build_system['build-backend']} as backend; backend.{hook}({str(folder)!r})",
        ],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT / backend_folder)},
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.mark.parametrize("hook", ["build_wheel", "build_sdist"])
def test_a_distribution_is_refused_with_what_to_do_instead(hook: str, tmp_path: Path) -> None:
    refused = call_hook(hook, tmp_path)
    assert refused.returncode != 0
    assert refused.stderr.strip() == REFUSAL
    assert list(tmp_path.iterdir()) == []


def test_the_metadata_of_the_editable_install_names_licence_and_command(tmp_path: Path) -> None:
    built = call_hook("prepare_metadata_for_build_editable", tmp_path)
    assert built.returncode == 0, built.stderr
    (folder,) = tmp_path.glob("perennial-*.dist-info")
    distribution = Distribution.at(folder)
    assert distribution.metadata["License-Expression"] == "Apache-2.0"
    assert distribution.metadata.get_all("License-File") == ["LICENSE", "NOTICE"]
    assert {command.name for command in distribution.entry_points} == set(
        PYPROJECT["project"]["scripts"]
    )


def test_programs_of_the_environment_find_their_siblings_in_a_bare_shell(tmp_path: Path) -> None:
    """As `.venv/bin/dvc repro` starts `python`, and MLflow `uvicorn`: by name, from any shell."""
    built = call_hook("build_editable", tmp_path)
    assert built.returncode == 0, built.stderr
    environment = tmp_path / "environment"
    subprocess.run([sys.executable, "-m", "venv", environment], check=True, timeout=120)
    python = environment / "bin" / "python"
    (wheel,) = tmp_path.glob("perennial-*.whl")
    install = ["-m", "pip", "install", "--quiet", "--no-deps", "--no-index", str(wheel)]
    subprocess.run([python, *install], check=True, timeout=120)

    code = "import subprocess; subprocess.run('command -v python', shell=True, check=True)"
    found = subprocess.run(
        [python, "-c", code],
        env={"PATH": os.defpath},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert Path(found.stdout.strip()) == python
