"""Whole processes, measured by the kernel: wall and CPU seconds."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Usage:
    """Wall and CPU seconds (children it waited for included), and what it printed."""

    wall: float
    cpu: float
    output: str


def measure(arguments: Sequence[str], *, environment: Mapping[str, str] | None = None, cwd: str | os.PathLike[str] | None = None) -> Usage:
    """Run `python ...` to its end; standard error passes through.

    Raises
    ------
    CalledProcessError
        The process did not end with 0.
    """
    command, started = [sys.executable, *arguments], time.perf_counter()
    with subprocess.Popen(command, env=environment, cwd=cwd, stdout=subprocess.PIPE, text=True) as process:
        output = process.stdout.read() if process.stdout else ""
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise subprocess.CalledProcessError(process.returncode, command, output)
    return Usage(time.perf_counter() - started, usage.ru_utime + usage.ru_stime, output)
