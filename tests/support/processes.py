"""Processes that tests start, wait for, interrupt and stop."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import httpx

from bentos.packaging.package import ServeCommand
from tests.support.repositories import ROOT

T = TypeVar("T")


def wait_until(condition: Callable[[], bool], *, seconds: float, what: str) -> float:
    """Return the seconds it took; fail loudly at the deadline."""
    started = time.monotonic()
    while time.monotonic() - started < seconds:
        if condition():
            return time.monotonic() - started
        time.sleep(0.05)
    raise AssertionError(f"not within {seconds} s: {what}")


def wait_for(found: Callable[[], T], *, seconds: float, what: str) -> T:
    """Return the first true value; fail loudly at the deadline."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if value := found():
            return value
        time.sleep(0.25)
    raise AssertionError(f"not within {seconds:.0f} s: {what}")


@contextmanager
def running(command: ServeCommand, *, cwd: Path, log: Path, url: str) -> Iterator[subprocess.Popen]:
    """A service process that is ready; ended with SIGTERM, at last with its process group."""
    environment = {**os.environ, **command.environment}
    with log.open("ab") as output:
        process = subprocess.Popen(
            command.argv,
            cwd=cwd,
            env=environment,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        wait_until(lambda: is_ready(url, process), seconds=150, what=f"{url} ready; see {log}")
        yield process
    finally:
        stop(process)


def is_ready(url: str, process: subprocess.Popen) -> bool:
    assert process.poll() is None, "the service ended while starting"
    try:
        return httpx.get(f"{url}/readyz", timeout=5).status_code == 200
    except httpx.HTTPError:
        return False


def stop(process: subprocess.Popen, *, seconds: float = 20) -> None:
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(10)


def interrupt(process: subprocess.Popen[str], *, seconds: float = 120) -> str:
    """Send Ctrl-C to the process alone and return its standard error.

    The last line says "interrupted", and there is no traceback. The code is 130, or the signal
    itself, which a shell shows as 130 too: CPython ends like that when the interrupt comes inside
    an `exec`, as while a dataclass is made.
    """
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=seconds)
    assert (process.returncode in (130, -signal.SIGINT), "Traceback" in err) == (True, False), (
        process.returncode,
        err[-4000:],
    )
    assert err.splitlines()[-1] == "interrupted"
    return err


class Started:
    """`python -m ...` in a session of its own, ended with the block."""

    def __init__(self, environment: dict[str, str], *arguments: str) -> None:
        self.command = [sys.executable, "-m", *arguments]
        self.environment = environment

    def __enter__(self) -> subprocess.Popen[bytes]:
        self.process = subprocess.Popen(
            self.command, env=self.environment, cwd=ROOT, start_new_session=True
        )
        return self.process

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, 9)
