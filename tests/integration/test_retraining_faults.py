"""A retraining meets another one, a person's decision, an outage, a hang, Ctrl-C, a full disk."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from pipelines.model.digests import recorded_digest, write_digest
from tests.support.processes import interrupt, wait_for
from tests.support.retrainings import LOCKS, Place, verdict

pytestmark = pytest.mark.timeout(1200)
STARTED = re.compile(
    r'"state": "start", "event": "register candidate"'
    r'|"event": "register candidate", "state": "start"'
)


@pytest.fixture
def place(place_with_champion: Place) -> Place:
    return place_with_champion


def held(place: Place, *arguments: str, **changes: str) -> subprocess.Popen[str]:
    """A retraining that waits at a boundary; `let_go` ends the waiting."""
    for name in ("held", "let-go"):
        (place.settings.home / name).unlink(missing_ok=True)
    process = place.start(*arguments, **changes)
    wait_for(
        lambda: (place.settings.home / "held").exists() or process.poll() is not None,
        seconds=240,
        what="the retraining waits",
    )
    assert process.poll() is None, process.communicate()[1][-4000:]
    return process


def let_go(place: Place) -> None:
    (place.settings.home / "let-go").touch()


def ended(
    process: subprocess.Popen[str], *, seconds: float = 240
) -> subprocess.CompletedProcess[str]:
    out, err = process.communicate(timeout=seconds)
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def clones(place: Place) -> list[Path]:
    return list(Path(place.environment["TMPDIR"]).glob("perennial-*"))


def error_of(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    """The one error object of a command with --json; nothing of a traceback before it."""
    assert "Traceback" not in done.stderr, done.stderr[-4000:]
    [line] = [line for line in done.stderr.splitlines() if line.startswith('{"error"')]
    return json.loads(line)["error"]


def test_of_two_retrainings_at_once_one_is_busy_and_a_decision_by_hand_stands(place: Place) -> None:
    """The second one is refused; the first does not overwrite a decision made while it ran."""
    before = str(place.champion())
    first = held(place, "tests.support.dying", "hold", "flows.retrain:register_candidate")
    second = place.run("cli.app", "--json", "retrain", "organ")
    assert (second.returncode, error_of(second)["code"]) == (1, "busy")
    shutil.copytree(
        place.settings.models / "organ" / before, place.settings.models / "organ" / "99"
    )
    write_digest(
        place.settings.models / "organ" / "99",
        recorded_digest(place.settings.models / "organ" / before),
    )
    by_hand = place.run("cli.app", "--json", "rollout", "promote", "organ", "99")
    assert by_hand.returncode == 0, by_hand.stderr[-4000:]
    let_go(place)
    assert (verdict(ended(first)), place.champion()) == ("wait", "99")
    [[reasons]] = place.rows(
        "select reasons from decision where subject = 'gate' order by id desc limit 1"
    )
    assert "version 99 became champion during this run" in reasons[0]


def test_an_interrupt_while_training_ends_everything_at_once(place: Place) -> None:
    """Ctrl-C reaches our process alone, as from a supervisor: its DVC must not outlive it."""
    before = place.champion()
    process = place.start("cli.app", "retrain", "organ")
    dvc = wait_for(
        lambda: working_in(clones(place), "repro"), seconds=240, what="dvc repro works in the clone"
    )
    interrupt(process, seconds=60)
    _, alive = psutil.wait_procs(dvc, timeout=10)
    assert not alive
    assert clones(place) == []
    assert place.champion() == before
    assert not place.rows(LOCKS), "no lock is left"


def working_in(folders: list[Path], word: str) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        try:
            inside = any(Path(process.cwd()).is_relative_to(folder) for folder in folders)
            if inside and word in process.cmdline():
                found.append(process)
        except (psutil.Error, OSError):
            continue
    return found


def test_a_stage_that_hangs_is_ended_and_named(place: Place) -> None:
    done = place.run("cli.app", "--json", "retrain", "organ", PERENNIAL_STAGE_SECONDS="0.5")
    assert done.returncode == 1
    error = error_of(done)
    assert error["code"] == "stage_failed"
    assert "within 0 s" in error["wanted"] or "within 1 s" in error["wanted"]
    assert "PERENNIAL_STAGE_SECONDS" in error["do"]
    assert clones(place) == []


@pytest.mark.slow
def test_without_the_registry_the_retraining_tries_again_and_fails_with_one_message(
    place: Place,
) -> None:
    before = place.champion()
    nowhere = "postgresql://postgres@127.0.0.1:9/mlflow"
    done = place.run("cli.app", "--json", "retrain", "organ", PERENNIAL_MLFLOW_DATABASE_URL=nowhere)
    assert done.returncode == 1
    error = error_of(done)
    assert error["code"] == "registry_unreachable"
    assert "PERENNIAL_MLFLOW_DATABASE_URL" in error["do"]
    assert len(STARTED.findall(done.stderr)) == 4
    assert place.champion() == before


@pytest.mark.slow
def test_a_full_disk_while_extracting_is_named_and_leaves_the_champion(
    place: Place, tmp_path: Path
) -> None:
    before = place.champion()
    small = tmp_path / "small"
    with small_disk(small):
        process = held(
            place, "tests.support.dying", "hold", "flows.steps:write_snapshots", TMPDIR=str(small)
        )
        fill(small / "filler")
        let_go(place)
        done = ended(process)
        assert [path.name for path in small.iterdir()] == ["filler"], "the clone is gone"
    assert done.returncode == 1
    assert error_of(done)["code"] == "disk_full"
    assert place.champion() == before


@contextmanager
def small_disk(folder: Path) -> Iterator[None]:
    """A file system of 64 MB; only root may mount one."""
    folder.mkdir()
    if subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", str(folder)],
        capture_output=True,
        check=False,
    ).returncode:
        pytest.skip("a small file system cannot be mounted here")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(path: Path) -> None:
    with path.open("wb", buffering=0) as file, suppress(OSError):
        while file.write(b"\0" * 65536):
            pass
