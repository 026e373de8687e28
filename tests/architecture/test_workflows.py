"""The workflow is valid, safe and made of shell steps; hooks run the tools of `make check`.

actionlint is not among the linters: its package on the registry is a source archive that downloads
a program when it is installed, which a hash-pinned lock cannot cover and a machine without a
network cannot install.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.architecture.test_map import ROOT
from tests.support.locks import EVERYTHING, read_lock

WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
LINTERS = {
    "zizmor": ("--offline", "--quiet", "--persona=auditor"),
    "check-jsonschema": ("--builtin-schema", "vendor.github-workflows"),
}
UNSAFE = """
on: push
permissions: write-all
jobs:
  greet:
    runs-on: ubuntu-24.04
    steps:
      - run: echo "${{ github.event.head_commit.message }}"
"""
INVALID = """
on: push
jobs:
  greet:
    runs-on: ubuntu-24.04
    steps:
      - runs: echo hello
"""


def lint(linter: str, workflow: Path) -> subprocess.CompletedProcess[str]:
    program = Path(sys.executable).with_name(linter)
    return subprocess.run(
        [program, *LINTERS[linter], workflow], capture_output=True, text=True, timeout=60
    )


def load(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("linter", LINTERS)
@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.stem)
def test_a_workflow_has_no_findings(linter: str, workflow: Path) -> None:
    report = lint(linter, workflow)
    assert report.returncode == 0, report.stdout + report.stderr


@pytest.mark.parametrize(("linter", "text"), [("zizmor", UNSAFE), ("check-jsonschema", INVALID)])
def test_a_bad_workflow_is_found(linter: str, text: str, tmp_path: Path) -> None:
    workflow = tmp_path / "bad.yml"
    workflow.write_text(text, encoding="utf-8")
    assert lint(linter, workflow).returncode != 0


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.stem)
def test_every_step_is_a_shell_step_with_a_deadline(workflow: Path) -> None:
    for job in load(workflow)["jobs"].values():
        assert job["permissions"] == {"contents": "read"}
        assert all("run" in step and "timeout-minutes" in step for step in job["steps"])


def test_ci_runs_what_developers_run() -> None:
    (job,) = load(ROOT / ".github" / "workflows" / "ci.yml")["jobs"].values()
    commands = [step["run"].strip() for step in job["steps"]]
    assert {".ci/run", "make test-slow"} <= set(commands)


def test_hooks_run_the_locked_tools_of_make_check() -> None:
    hooks = [
        hook for repo in load(ROOT / ".pre-commit-config.yaml")["repos"] for hook in repo["hooks"]
    ]
    entries = {hook["entry"].removesuffix(" --force-exclude") for hook in hooks}
    assert all(hook["language"] == "system" for hook in hooks)

    makefile = (ROOT / "Makefile").read_text(encoding="utf-8").replace("$(BIN)", ".venv/bin")
    assert {
        entry for entry in entries if not re.search(rf"{re.escape(entry)}\b", makefile)
    } == set()
    assert {"ruff", "mypy", "import-linter"} <= {pin.name for pin in read_lock(EVERYTHING)}
