"""Measures whole processes by the kernel, and runs threads that send requests meanwhile."""

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
    """Wall and CPU seconds (with the children it waited for), and standard output."""

    wall: float
    cpu: float
    output: str


def measure(
    arguments: Sequence[str],
    *,
    environment: Mapping[str, str] | None = None,
    cwd: str | os.PathLike[str] | None = None,
) -> Usage:
    """Run `python ...` to its end; its standard error is passed through.

    Raises
    ------
    CalledProcessError
        The process ended with another code than 0.
    """
    command = [sys.executable, *arguments]
    started = time.perf_counter()
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
def on_threads(clients: Sequence[Callable[[], None]], *, stop: threading.Event) -> Iterator[None]:
    """Run each client on a thread; at the end of the block, set `stop` and wait for them."""
    threads = [threading.Thread(target=client) for client in clients]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join()
