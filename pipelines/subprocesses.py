"""Programs that a retraining starts.

Each has its own process group and a time limit, and ends when its parent ends.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import suppress
from pathlib import Path

import psutil

from core.errors import StageFailed

GRACE_SECONDS = 5.0
SHOWN_LINES = 6


def run_program(
    command: Sequence[str],
    *,
    folder: Path,
    environment: Mapping[str, str],
    seconds: float,
    on_line: Callable[[str], None],
) -> None:
    """Run a long program, and pass each non-blank line that it prints to `on_line` at once.

    An interrupt ends the program and everything that it started.

    Raises
    ------
    StageFailed
        The exit code is not 0, or the program takes longer than `seconds`.
    """
    _follow(_start(command, folder, environment), command, seconds=seconds, on_line=on_line)


def _follow(
    process: subprocess.Popen[str],
    command: Sequence[str],
    *,
    seconds: float,
    on_line: Callable[[str], None],
) -> None:
    """Read what a program prints until it ends. Raises `StageFailed`."""
    late = threading.Event()
    timer = _end_when_late(process, seconds, late)
    try:
        lines = _read(process, on_line)
    except BaseException:
        end_group(process)
        raise
    finally:
        timer.cancel()
        if process.stdout:
            process.stdout.close()

    if late.is_set():
        raise StageFailed(
            f"`{_words(command)}` to end within {seconds:.0f} s",
            came=_last(lines),
            do="see why it hangs, or raise PERENNIAL_STAGE_SECONDS",
        )
    if process.returncode != 0:
        raise failed(command, lines)


def run_programs(
    commands: Sequence[Sequence[str]],
    *,
    folder: Path,
    environment: Mapping[str, str],
    seconds: float,
    on_line: Callable[[str], None],
) -> None:
    """Run several programs at once, each as `run_program` does; an interrupt ends them all.

    Raises the error of the first one that failed, after the others have ended by themselves.
    """
    processes = [_start(command, folder, environment) for command in commands]
    with ThreadPoolExecutor(len(commands)) as pool:
        followed = [
            pool.submit(_follow, process, command, seconds=seconds, on_line=on_line)
            for process, command in zip(processes, commands, strict=True)
        ]
        try:
            wait(followed)
        except BaseException:
            for process in processes:
                end_group(process)
            raise
    for future in followed:
        future.result()


def _start(
    command: Sequence[str], folder: Path, environment: Mapping[str, str]
) -> subprocess.Popen[str]:
    """Start a program in a process group of its own, with one stream for all of its output."""
    return subprocess.Popen(
        command,
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        process_group=0,
    )


def end_group(process: subprocess.Popen[str]) -> None:
    """End the program and its group: with SIGTERM first, then with SIGKILL."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with suppress(subprocess.TimeoutExpired):
            process.wait(GRACE_SECONDS)


def end_those_within(folder: Path) -> None:
    """Kill the processes whose working folder is within the folder."""
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            if Path(process.cwd()).is_relative_to(folder):
                process.kill()
                _await_end(process)


def _await_end(process: psutil.Process) -> None:
    """Wait until the process has ended, and leave its exit code to the thread that follows it.

    `Process.wait` would take the code of a child, and `Popen` then reads 0. Raises `psutil.Error`
    once the process is gone.
    """
    deadline = time.monotonic() + GRACE_SECONDS
    while process.status() != psutil.STATUS_ZOMBIE and time.monotonic() < deadline:
        time.sleep(0.01)


def failed(command: Sequence[str], lines: Sequence[str]) -> StageFailed:
    """Return the error of a command that failed, with the last lines that it printed.

    Where one of them is the named error of a stage, the error has its words.
    """
    if named := _named_error(lines):
        wanted = f"{named['wanted']} (`{_words(command)}`)"
        return StageFailed(wanted, came=named["came"], do=named["do"])
    return StageFailed(
        f"`{_words(command)}` to succeed",
        came=_last(lines),
        do="correct what the output names and run again",
    )


def _end_when_late(
    process: subprocess.Popen[str], seconds: float, late: threading.Event
) -> threading.Timer:
    """Start a timer that ends the program and sets the event."""

    def end() -> None:
        late.set()
        end_group(process)

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()
    return timer


def _read(process: subprocess.Popen[str], on_line: Callable[[str], None]) -> list[str]:
    lines = []
    for line in process.stdout or ():
        if line.strip():
            lines.append(line.rstrip())
            on_line(lines[-1])
    process.wait()
    return lines


def _last(lines: Sequence[str]) -> str:
    return " | ".join(lines[-SHOWN_LINES:]) or "no output"


def _named_error(lines: Sequence[str]) -> dict[str, str] | None:
    """Return the newest line that holds the fields of an error, as `python -m pipelines` prints."""
    for line in reversed(lines):
        with suppress(ValueError):
            fields = json.loads(line)
            if isinstance(fields, dict) and {"code", "wanted", "came", "do"} <= fields.keys():
                return fields
    return None


def _words(command: Sequence[str]) -> str:
    """Return the command without paths and options."""
    return " ".join(word for word in command if not word.startswith(("/", "-")))
