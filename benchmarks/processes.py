"""Whole processes, measured by the kernel: wall and CPU seconds. And threads that keep asking meanwhile."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass(frozen=True)
class Usage:
    """Wall and CPU seconds (children it waited for included), and what it printed."""

    wall: float
    cpu: float
    output: str


def measure(
    arguments: Sequence[str],
    *,
    environment: Mapping[str, str] | None = None,
    cwd: str | os.PathLike[str] | None = None,
) -> Usage:
    """Run `python ...` to its end; standard error passes through.

    Raises
    ------
    CalledProcessError
        The process did not end with 0.
    """
    command, started = [sys.executable, *arguments], time.perf_counter()
    with subprocess.Popen(
        command, env=environment, cwd=cwd, stdout=subprocess.PIPE, text=True
    ) as process:
        output = process.stdout.read() if process.stdout else ""
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise subprocess.CalledProcessError(process.returncode, command, output)
    return Usage(time.perf_counter() - started, usage.ru_utime + usage.ru_stime, output)


@contextmanager
def on_threads(asks: Sequence[Callable[[], None]], *, stop: threading.Event) -> Iterator[None]:
    """Call each on a thread of its own; at the end of the block `stop` is set, and they are waited for."""
    threads = [threading.Thread(target=ask) for ask in asks]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join()
