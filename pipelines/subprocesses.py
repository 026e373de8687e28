"""Programs that a retraining starts: each in a process group of its own, within a time limit, ended when we end."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import psutil

from core.errors import StageFailed

GRACE_SECONDS = 5.0


def run_program(
    command: Sequence[str],
    *,
    folder: Path,
    environment: Mapping[str, str],
    seconds: float,
    on_line: Callable[[str], None],
) -> None:
    """Run a long program; each line that it prints and that is not blank goes to `on_line` as it comes.

    An interrupt ends the program with all that it started. Raises `StageFailed` for an exit code other than 0, and after
    `seconds`.
    """
    process = subprocess.Popen(
        command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        errors="replace", process_group=0,
    )  # fmt: skip
    late = threading.Event()
    watch = _watch(process, seconds, late)
    try:
        lines = _read(process, on_line)
    except BaseException:
        end_group(process)
        raise
    finally:
        watch.cancel()
    if late.is_set():
        do = "see why it hangs, or raise PERENNIAL_STAGE_SECONDS"
        raise StageFailed(
            f"`{_words(command)}` to end within {seconds:.0f} s", came=_end(lines), do=do
        )
    if process.returncode != 0:
        raise failed(command, lines)


def end_group(process: subprocess.Popen[str]) -> None:
    """End the program and all of its group: ask, then kill."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with suppress(subprocess.TimeoutExpired):
            process.wait(GRACE_SECONDS)


def end_those_within(folder: Path) -> None:
    """Kill whatever still works in the folder: what a killed owner left behind."""
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            if Path(process.cwd()).is_relative_to(folder):
                process.kill()
                process.wait(GRACE_SECONDS)


def failed(command: Sequence[str], lines: Sequence[str]) -> StageFailed:
    """The error of a command that failed, with the last lines it printed."""
    return StageFailed(
        f"`{_words(command)}` to succeed", came=_end(lines), do="mend what it names and run again"
    )


def _watch(
    process: subprocess.Popen[str], seconds: float, late: threading.Event
) -> threading.Timer:
    """End the program when it is late, and say so by the event."""

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


def _end(lines: Sequence[str]) -> str:
    return " | ".join(lines[-6:]) or "no output"


def _words(command: Sequence[str]) -> str:
    return " ".join(word for word in command if not word.startswith(("/", "-")))
