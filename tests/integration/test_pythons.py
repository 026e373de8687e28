"""Every Python and every profile from the one lock: real environments, made by hash. Gigabytes and minutes: only in `make test-slow`."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.locks_kit import EVERYTHING, PYTHONS, ROOT
from tests.serving_kit import LABELS

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]
ANSWER = """
import sys, tempfile, pathlib
import bentos.service
from tests.serving_kit import Bench
bench = Bench(pathlib.Path(tempfile.mkdtemp()))
bench.promote("organ", "1")
workshop = {"prefect", "dvc", "mlflow", "great_expectations", "evidently", "tensorflow", "sklearn", "pandas"}
print(bench.answer("heart attack")[0].label, *sorted(workshop & set(sys.modules)))
"""
IMPORTS = {
    "serving": ("bentos.service", "bentos.package", "ai_edge_litert.interpreter", "sentencepiece"),
    "serving-tensorflow": ("bentos.service", "pipelines.model.use_graph", "tensorflow_hub"),
    "training": (
        "pipelines.__main__",
        "pipelines.workspace",
        "pipelines.registry",
        "pipelines.source.extract",
        "tensorflow_text",
        "dvc.cli",
    ),
}


@pytest.fixture(params=PYTHONS)
def python(request: pytest.FixtureRequest) -> Path:
    found = find_python(request.param)
    if found is None:
        pytest.skip(f"no Python {request.param} on this machine: neither on the path nor under pyenv")
    return found


def find_python(version: str) -> Path | None:
    """An interpreter that runs: this one, one on the path, or one of pyenv."""
    pyenv = Path(os.environ.get("PYENV_ROOT", "~/.pyenv")).expanduser() / "versions"
    named = [Path(sys.executable), shutil.which(f"python{version}"), *sorted(pyenv.glob(f"{version}.*/bin/python"))]
    return next((Path(path) for path in named if path and version_of(path) == version), None)


def version_of(python: Path | str) -> str:
    program = "import sys; print('%d.%d' % sys.version_info[:2])"
    return subprocess.run([python, "-c", program], capture_output=True, text=True).stdout.strip()


def install(lock: Path, *, python: Path, folder: Path) -> Path:
    """A new environment with exactly what the lock names; its interpreter."""
    uv = Path(sys.executable).parent / "uv"
    subprocess.run([uv, "venv", "--quiet", "--python", python, folder], check=True)
    made = folder / "bin" / "python"
    subprocess.run([uv, "pip", "sync", "--quiet", "--python", made, "--require-hashes", lock], check=True)
    subprocess.run([uv, "pip", "check", "--quiet", "--python", made], check=True)
    return made


def run(python: Path, *arguments: str) -> str:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PATH": f"{python.parent}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run([python, *arguments], cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    return done.stdout


@pytest.mark.parametrize("profile", IMPORTS)
def test_a_profile_installs_and_imports(profile: str, python: Path, tmp_path: Path) -> None:
    made = install(ROOT / "requirements" / f"{profile}.lock", python=python, folder=tmp_path / "venv")
    run(made, "-c", "".join(f"import {name}\n" for name in IMPORTS[profile]))
    if profile.startswith("serving"):
        assert run(made, "-c", ANSWER).splitlines()[-1] in LABELS


def test_everything_installs_and_the_fast_tests_hold(python: Path, tmp_path: Path) -> None:
    made = install(EVERYTHING, python=python, folder=tmp_path / "venv")
    assert " passed" in run(made, "-m", "pytest", "-q", "-m", "not slow", "-p", "no:cacheprovider", "tests/unit", "tests/architecture")


def test_the_profile_with_cuda_resolves() -> None:
    """Resolved and not run: there is no such machine here."""
    uv = Path(sys.executable).parent / "uv"
    lock = ROOT / "requirements" / "training-gpu.lock"
    done = subprocess.run(
        [uv, "pip", "sync", "--dry-run", "--python", sys.executable, "--require-hashes", lock], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "+ nvidia-cudnn-cu12==" in done.stderr
