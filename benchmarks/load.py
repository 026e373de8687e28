"""Loads a service with `wrk` (one thread, keep-alive, `load.lua`); reads what its clients saw."""

from __future__ import annotations

import json
import resource
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from core.errors import ProcessFailed

SCRIPT = Path(__file__).with_name("load.lua")


@dataclass(frozen=True)
class LoadFigures:
    """What the clients of one period of load saw.

    `errors` counts missing answers and statuses other than 2xx and 3xx. `busy` is the share of a
    core that `wrk` used; near 1, `wrk` itself is the limit.
    """

    requests: int
    seconds: float
    p50_ms: float
    p99_ms: float
    errors: int
    busy: float = 0.0

    @property
    def rps(self) -> float:
        return self.requests / self.seconds


def write_bodies(bodies: Sequence[str], file: Path) -> Path:
    """Write one JSON body per line, in the order in which they are sent."""
    file.write_text("".join(body + "\n" for body in bodies), encoding="utf-8")
    return file


def play(
    url: str, path: str, bodies: Path, *, clients: int, seconds: float, first: int = 0
) -> LoadFigures:
    """Send the bodies from place `first` on, for `seconds`.

    Raises `ProcessFailed` when `wrk` is missing or fails.
    """
    argv = [
        find_wrk(),
        "-t1",
        f"-c{clients}",
        f"-d{max(1, round(seconds))}s",
        "--timeout",
        "30s",
        "-s",
        str(SCRIPT),
        url,
    ]
    before = _children_seconds()
    done = subprocess.run(
        [*argv, "--", path, str(bodies), str(first)], capture_output=True, text=True, check=False
    )
    spent = _children_seconds() - before
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    if done.returncode != 0 or not lines:
        raise ProcessFailed(
            "figures of wrk",
            came=(done.stderr or done.stdout).strip()[-300:],
            do="check whether the service answers",
        )
    figures = json.loads(lines[-1])
    return LoadFigures(**figures, busy=spent / figures["seconds"])


def _children_seconds() -> float:
    """CPU seconds of the children that have ended; running servers are not included."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def find_wrk() -> str:
    """Return the path of wrk. Raises `ProcessFailed` when it is not installed."""
    path = shutil.which("wrk")
    if path is None:
        raise ProcessFailed(
            "wrk, the load generator", came="none on PATH", do="run `apt-get install wrk`"
        )
    return path
