"""Runs servers as trees of processes: starts, measures and ends them."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil

from core.errors import ProcessFailed
from core.settings import REPOSITORY

READY_SECONDS = 300.0
MEGA = 1e6


@dataclass(frozen=True)
class Server:
    """A tree of processes that answers at `url`.

    `settle` waits until all background work of its answers is done. `beside` are other processes
    that it uses, such as the database.
    """

    url: str
    root: psutil.Process
    settle: Callable[[], None] = field(default=lambda: None)
    beside: Sequence[psutil.Process] = ()

    def processes(self) -> list[psutil.Process]:
        return _tree(self.root)

    def cpu_seconds(self) -> float:
        """User and system seconds of the running processes of the tree."""
        return _cpu_seconds(self.processes())

    def loop_seconds(self) -> float:
        """The seconds of the main threads alone: the event loops, without background threads."""
        return sum(_main_thread_seconds(process) for process in self.processes())

    def beside_seconds(self) -> float:
        """The seconds of the processes that it uses: the database."""
        return _cpu_seconds(process for root in self.beside for process in _tree(root))

    def pss_mb(self) -> float:
        """Proportional set size of the tree, in 10^6 bytes."""
        pss = sum(process.memory_full_info().pss for process in self.processes())
        return float(pss / MEGA)

    def get(self, path: str) -> str:
        """Body of a GET."""
        return httpx.get(self.url + path, timeout=30).raise_for_status().text


@contextmanager
def run_server(
    argv: Sequence[str],
    *,
    port: int,
    environment: Mapping[str, str],
    log: Path,
    ready: Callable[[str], bool],
) -> Iterator[Server]:
    """Start a server, wait until `ready(url)`, and end its tree at the end of the block.

    It is ended by SIGTERM, and what is left is killed. Raises `ProcessFailed` when it ends early or
    is not ready within five minutes.
    """
    variables = {**os.environ, "PYTHONPATH": str(REPOSITORY), **environment}
    with log.open("ab") as output:
        process = subprocess.Popen(
            argv,
            cwd=REPOSITORY,
            env=variables,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    server = Server(f"http://127.0.0.1:{port}", psutil.Process(process.pid))
    try:
        _await_ready(server.url, process, log=log, ready=ready)
        yield server
    finally:
        _end(process, server.processes())


def answers_post(path: str, body: Mapping[str, Any]) -> Callable[[str], bool]:
    """Return a check that holds when this POST is answered with 200."""

    def ready(url: str) -> bool:
        return httpx.post(url + path, json=body, timeout=30).status_code == 200

    return ready


def post_batches(url: str, path: str, bodies: Iterable[Mapping[str, Any]]) -> None:
    """Send the bodies one after the other; any error status raises."""
    with httpx.Client(base_url=url, timeout=120) as client:
        for body in bodies:
            headers = {"content-type": "application/json"}
            client.post(path, content=json.dumps(body), headers=headers).raise_for_status()


def free_port() -> int:
    """A loopback port that no process uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def free_row(count: int) -> int:
    """The first of `count` consecutive free ports."""
    while True:
        first = free_port()
        with ExitStack() as stack, suppress(OSError, OverflowError):
            for port in range(first, first + count):
                stack.enter_context(socket.socket()).bind(("127.0.0.1", port))
            return first


def wait_for(condition: Callable[[], bool], *, seconds: float, what: str) -> None:
    """Check ten times per second. Raises `ProcessFailed` at the deadline."""
    started = time.monotonic()
    while not condition():
        if time.monotonic() - started > seconds:
            raise ProcessFailed(
                what, came=f"not within {seconds:.0f} s", do="run it again on a less busy machine"
            )
        time.sleep(0.1)


def _await_ready(
    url: str, process: subprocess.Popen[bytes], *, log: Path, ready: Callable[[str], bool]
) -> None:
    def answered() -> bool:
        if process.poll() is not None:
            end = log.read_text(encoding="utf-8", errors="replace")[-800:]
            raise ProcessFailed(
                f"a server at {url}",
                came=f"it ended with {process.returncode}: {end}",
                do="correct its start",
            )
        try:
            return ready(url)
        except httpx.HTTPError:
            return False

    wait_for(answered, seconds=READY_SECONDS, what=f"a server ready at {url}")


def _end(process: subprocess.Popen[bytes], family: Sequence[psutil.Process]) -> None:
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
    _, survivors = psutil.wait_procs(family, timeout=30)
    for survivor in survivors:
        survivor.kill()
    process.wait(10)


def _tree(root: psutil.Process) -> list[psutil.Process]:
    try:
        family = [root, *root.children(recursive=True)]
        return [process for process in family if process.status() != psutil.STATUS_ZOMBIE]
    except psutil.NoSuchProcess:
        return []


def _cpu_seconds(processes: Iterable[psutil.Process]) -> float:
    used = 0.0
    for process in processes:
        try:
            times = process.cpu_times()
        except psutil.NoSuchProcess:
            continue
        used += times.user + times.system
    return used


def _main_thread_seconds(process: psutil.Process) -> float:
    try:
        threads = [thread for thread in process.threads() if thread.id == process.pid]
    except psutil.NoSuchProcess:
        return 0.0
    return float(sum(thread.user_time + thread.system_time for thread in threads))
