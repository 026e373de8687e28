"""Lets one `perennial up` or `down` of a home run at a time."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import IO

from core.errors import Busy
from core.home import require_home
from core.settings import Settings
from machine.supervision import private_folder, supervisor_folder

# `up` waits up to 300 s for its slowest program, and programs start side by side.
PATIENCE_SECONDS = 900.0


@contextmanager
def exclusive_home(settings: Settings, *, seconds: float = PATIENCE_SECONDS) -> Iterator[None]:
    """Wait for another `up` or `down` of this home to end, then hold the home.

    Raises `Busy`, naming the other process, when it does not end within `seconds`.
    """
    require_home(settings)
    path = private_folder(supervisor_folder(settings)) / "lock"
    with path.open("a+") as lock:
        if not wait_for(lambda: _try_lock(lock), seconds=seconds):
            holder = path.read_text().strip() or "unknown"
            raise Busy(
                "no other `perennial up` or `down` of this home",
                came=f"process {holder}, which still runs after {seconds:.0f} s",
                do="wait for it, or end it",
            )
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield


def wait_for(condition: Callable[[], bool], *, seconds: float) -> bool:
    """Return True as soon as the condition holds, False after the deadline."""
    deadline = time.monotonic() + seconds
    while not (holds := condition()) and time.monotonic() < deadline:
        time.sleep(0.1)
    return holds


def _try_lock(lock: IO[str]) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
