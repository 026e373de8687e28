"""How long each stage took, in build/times: not an output, because two runs differ in it.

A stage that DVC takes from its cache writes nothing.
"""

from __future__ import annotations

import json
import resource
import time
from pathlib import Path

from core.files import write_json

TIMES = Path("build/times")
STARTED = time.monotonic()


def write_times(stage: str, key: str | None) -> None:
    """Record the seconds and the CPU seconds of this process and its children since its start."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    cpu_seconds = sum(usage.ru_utime + usage.ru_stime for usage in used)
    seconds = time.monotonic() - STARTED
    file = TIMES / f"{stage}-{key}.json" if key else TIMES / f"{stage}.json"
    write_json(file, {"seconds": round(seconds, 3), "cpu_seconds": round(cpu_seconds, 3)})


def read_times(root: Path, classifier: str) -> dict[str, dict[str, float]]:
    """Return stage -> its times, of the stages that ran for a classifier and for all.

    `root` is the checkout in which the stages ran.
    """
    times = {}
    for file in sorted((root / TIMES).glob("*.json")):
        stage, _, key = file.stem.partition("-")
        if key in ("", classifier):
            times[stage] = json.loads(file.read_text(encoding="utf-8"))
    return times
