"""Load by `wrk` (one thread, keep-alive, `load.lua`): what the clients saw, and what the servers' processes spent meanwhile."""

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
class Heard:
    """What the clients of one stretch of load saw.

    `errors`: no answer, or a status that is not 2xx or 3xx. `busy`: the share of a core that `wrk` took; near 1 it is itself the limit.
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
    """One JSON body a line, in the order in which they are sent."""
    file.write_text("".join(body + "\n" for body in bodies), encoding="utf-8")
    return file


def play(
    url: str, path: str, bodies: Path, *, clients: int, seconds: float, first: int = 0
) -> Heard:
    """Send bodies from place `first` on, for `seconds`.

    Raises `ProcessFailed` when `wrk` is missing or ends badly.
    """
    argv = [
        _wrk(),
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
            do="look whether the service answers",
        )
    heard = json.loads(lines[-1])
    return Heard(**heard, busy=spent / heard["seconds"])


def _children_seconds() -> float:
    """CPU of the children that ended; servers are not among them before they do."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _wrk() -> str:
    found = shutil.which("wrk")
    if found is None:
        raise ProcessFailed(
            "wrk, the load generator", came="none on PATH", do="run `apt-get install wrk`"
        )
    return found
