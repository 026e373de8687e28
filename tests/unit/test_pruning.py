from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from bentos.packaging import pruning
from bentos.packaging.pruning import prune_bentos


def stored(store: Path, name: str, *versions: str, latest: str) -> None:
    """Bentos of one name, oldest first."""
    for age, version in enumerate(versions):
        folder = store / "bentos" / name / version
        (folder / "src").mkdir(parents=True)
        (folder / "bento.yaml").write_text(version)
        os.utime(folder / "bento.yaml", (1_000_000 + age,) * 2)
    (store / "bentos" / name / "latest").write_text(latest)


def left(store: Path, name: str) -> set[str]:
    return {entry.name for entry in (store / "bentos" / name).iterdir() if entry.is_dir()}


def test_the_newest_the_latest_and_those_that_are_served_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pruning, "KEPT", 2)
    stored(tmp_path, "perennial", "z-old", "served", "named", "b", "c", "a-new", latest="named")
    stored(tmp_path, "perennial-2", "z-old", "served", "c", "d", "e", latest="e")
    stored(tmp_path, "somebody-elses", "1", "2", "3", "4", latest="4")
    serving = [
        sys.executable,
        "-c",
        "import sys; print(flush=True); sys.stdin.read()",
        "serve",
        "perennial:served",
    ]
    with subprocess.Popen(serving, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        assert prune_bentos(tmp_path) == [
            "perennial:z-old",
            "perennial:b",
            "perennial-2:z-old",
            "perennial-2:c",
        ]
        assert prune_bentos(tmp_path) == []
    assert left(tmp_path, "perennial") == {"served", "named", "c", "a-new"}
    assert left(tmp_path, "perennial-2") == {"served", "d", "e"}
    assert left(tmp_path, "somebody-elses") == {"1", "2", "3", "4"}
    assert prune_bentos(tmp_path) == ["perennial:served", "perennial-2:served"]


def test_before_the_first_bento_there_is_nothing_to_remove(tmp_path: Path) -> None:
    assert prune_bentos(tmp_path) == []
