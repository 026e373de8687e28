"""Servers as trees of processes: started on a free port, ready when they answer, weighed, ended by id."""

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
    """A tree of processes that answers at `url`; `settle` waits until what the answers left behind is done; `beside`: processes it uses."""

    url: str
    root: psutil.Process
    settle: Callable[[], None] = field(default=lambda: None)
    beside: Sequence[psutil.Process] = ()

    def processes(self) -> list[psutil.Process]:
        return _tree(self.root)

    def cpu_seconds(self) -> float:
        """User and system, of the living processes of the tree."""
        return _cpu_seconds(self.processes())

    def loop_seconds(self) -> float:
        """The same of the main threads alone: the event loops, without what ships or computes beside them."""
        return sum(_main_thread_seconds(one) for one in self.processes())

    def beside_seconds(self) -> float:
        """The same of what it uses: the database."""
        return _cpu_seconds(process for one in self.beside for process in _tree(one))

    def pss_mb(self) -> float:
        """Proportional set size of the tree, in 10^6 bytes."""
        return sum(one.memory_full_info().pss for one in self.processes()) / MEGA

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
    """Start, wait until `ready(url)`, and end: SIGTERM, then what is left of the tree is killed.

    Raises `ProcessFailed` when it ends, or is not ready within five minutes.
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
    """Ready when this POST is answered with 200."""

    def ready(url: str) -> bool:
        return httpx.post(url + path, json=body, timeout=30).status_code == 200

    return ready


def post_batches(url: str, path: str, bodies: Iterable[Mapping[str, Any]]) -> None:
    """Send one after the other; an error is an error here."""
    with httpx.Client(base_url=url, timeout=120) as client:
        for body in bodies:
            client.post(
                path, content=json.dumps(body), headers={"content-type": "application/json"}
            ).raise_for_status()


def free_port() -> int:
    """A port of loopback that nobody holds now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def free_row(count: int) -> int:
    """The first of so many free ports in a row."""
    while True:
        first = free_port()
        with ExitStack() as stack, suppress(OSError, OverflowError):
            for port in range(first, first + count):
                stack.enter_context(socket.socket()).bind(("127.0.0.1", port))
            return first


def wait_for(condition: Callable[[], bool], *, seconds: float, what: str) -> None:
    """Look ten times a second. Raises `ProcessFailed` at the deadline."""
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
            told = log.read_text(encoding="utf-8", errors="replace")[-800:]
            raise ProcessFailed(
                f"a server at {url}",
                came=f"it ended with {process.returncode}: {told}",
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
    _, left = psutil.wait_procs(family, timeout=30)
    for one in left:
        one.kill()
    process.wait(10)


def _tree(root: psutil.Process) -> list[psutil.Process]:
    try:
        return [
            one
            for one in (root, *root.children(recursive=True))
            if one.status() != psutil.STATUS_ZOMBIE
        ]
    except psutil.NoSuchProcess:
        return []


def _cpu_seconds(processes: Iterable[psutil.Process]) -> float:
    used = 0.0
    for one in processes:
        try:
            times = one.cpu_times()
        except psutil.NoSuchProcess:
            continue
        used += times.user + times.system
    return used


def _main_thread_seconds(process: psutil.Process) -> float:
    try:
        return sum(
            one.user_time + one.system_time for one in process.threads() if one.id == process.pid
        )
    except psutil.NoSuchProcess:
        return 0.0
