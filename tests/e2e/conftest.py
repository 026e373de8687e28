"""One small loop, played once for all end-to-end tests: a clone of its own, a home of its own, free ports."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.places import free_ports

ROOT = Path(__file__).parents[2]
PARAMS = """
seed: 7
classifiers:
  block:
    source: {query: queries/diagnoses.sql, label: block}
    head: {kind: logistic}
    gate: {min_weighted_f1: 0.5, max_weighted_f1_drop: 0.05}   # 300 test rows: the bound is wide
"""


@dataclass(frozen=True)
class Place:
    """A clone of this repository, and the environment in which its commands run."""

    clone: Path
    environment: dict[str, str]

    def perennial(self, *arguments: str, timeout: int = 600) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "cli.app", *arguments]
        return subprocess.run(
            command,
            cwd=self.clone,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=timeout,
        )

    def run(self, *command: str) -> str:
        done = subprocess.run(
            command,
            cwd=self.clone,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def commit(self, message: str) -> None:
        self.run("git", "add", "--all")
        self.run(
            "git",
            "-c",
            "user.name=test",
            "-c",
            "user.email=test@localhost",
            "commit",
            "--quiet",
            "--message",
            message,
        )

    def url(self, name: str) -> str:
        return f"http://127.0.0.1:{self.environment[f'PERENNIAL_{name.upper()}_PORT']}"


def new_place(folder: Path, **settings: str) -> Place:
    """A fresh clone in `folder`, a home beside it, free ports; `settings` go into the environment."""
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(folder / "clone")], check=True)
    names = ("PREFECT", "MLFLOW", "SERVICE", "EVIDENTLY")
    ports = {
        f"PERENNIAL_{name}_PORT": str(port) for name, port in zip(names, free_ports(4), strict=True)
    }
    kept = {
        key: value
        for key, value in os.environ.items()
        if not key.startswith(("PERENNIAL_", "PREFECT_", "MLFLOW_", "BENTOML_"))
    }
    path = f"{Path(sys.executable).parent}{os.pathsep}{kept['PATH']}"
    nowhere = {
        "HTTP_PROXY": "http://127.0.0.1:9",
        "HTTPS_PROXY": "http://127.0.0.1:9",
        "NO_PROXY": "127.0.0.1,localhost",
    }
    home = {"PATH": path, "PERENNIAL_HOME": str(folder / "var")}
    return Place(
        folder / "clone", {**kept, **ports, **nowhere, **home, **settings}
    )  # no network is needed


@pytest.fixture(scope="session")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    place = new_place(tmp_path_factory.mktemp("place"))
    place.clone.joinpath("params.yaml").write_text(PARAMS, encoding="utf-8")
    place.commit("One classifier")
    yield place
    place.perennial("down")


@pytest.fixture(scope="session")
def played(place: Place) -> dict:
    """The summary of the demo story on 20,000 rows."""
    done = place.perennial("demo", "--scale", "small")
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-8000:]
    return json.loads((place.clone / "build" / "demo" / "summary.json").read_text(encoding="utf-8"))
