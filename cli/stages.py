"""One line per stage while a command works; what the stages log goes to a file.

The stages are the events that the code logs anyway, so no step of a flow knows of the screen.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, Protocol, TextIO

import yaml

from core.home import require_home
from core.logs import listening
from core.settings import Settings
from machine.supervision import log_file, private_folder

KEPT_BYTES = 10_000_000
"""A larger log is set aside as `NAME.log.1` before a command begins."""
TITLE_WIDTH = 40
BETWEEN = "Working"
SKIPPED = "Stage '"
"""How DVC begins its line about a stage that it need not run."""


class Screen(Protocol):
    """Where the stages are shown."""

    def begin(self, title: str, parts: int | None) -> None: ...
    def advance(self, title: str, *, done: bool) -> None: ...
    def end(self, line: str) -> None: ...


class PlainScreen:
    """One line per finished stage, for files and pipes."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream

    def begin(self, title: str, parts: int | None) -> None:
        """Say nothing: the line of a stage holds its seconds."""

    def advance(self, title: str, *, done: bool) -> None:
        """Say nothing of parts."""

    def end(self, line: str) -> None:
        print(line, file=self.stream, flush=True)


class LiveScreen:
    """On a terminal: finished stages as lines, the running one as a bar with its seconds."""

    def __init__(self, stream: TextIO) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

        self.progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(bar_width=16),
            TimeElapsedColumn(),
            console=Console(file=stream, highlight=False),
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self.progress.start()
        self.title = BETWEEN
        self.row = self.progress.add_task(BETWEEN, total=None)

    def begin(self, title: str, parts: int | None) -> None:
        self._replace(title, parts)

    def advance(self, title: str, *, done: bool) -> None:
        self.progress.update(
            self.row, advance=int(done), description=f"{self.title}: {title.lower()}"
        )

    def end(self, line: str) -> None:
        self.progress.console.print(line, markup=False)
        self._replace(BETWEEN, None)

    def _replace(self, title: str, parts: int | None) -> None:
        """Show another row: a new one counts its own seconds."""
        self.progress.remove_task(self.row)
        self.title = title
        self.row = self.progress.add_task(title, total=parts)


class Stages:
    """Follows the events of a command: the outermost that begin and end are its stages."""

    def __init__(self, screen: Screen, parts: Mapping[str, int]) -> None:
        self.screen = screen
        self.parts = parts
        self.open: list[str] = []

    def follow(self, event: Mapping[str, Any]) -> None:
        """Take one event of the log."""
        name = str(event["event"])
        state = event.get("state")
        if state == "start":
            self._begin(name, event)
        elif state in ("end", "failed") and name in self.open:
            self._end(name, event)
        elif self.open and name == "trial":
            self.screen.advance(_trial(event), done=False)
        elif self.open and str(event.get("line", "")).startswith(SKIPPED):
            self.screen.advance(_unchanged(event), done=True)

    def _begin(self, name: str, event: Mapping[str, Any]) -> None:
        if self.open:
            self.screen.advance(_title(name, event), done=False)
        else:
            self.screen.begin(_title(name, event), self.parts.get(name))
        self.open.append(name)

    def _end(self, name: str, event: Mapping[str, Any]) -> None:
        while self.open.pop() != name:
            pass  # a killed stage has no end of its own
        if self.open:
            self.screen.advance(_title(name, event), done=name.startswith("stage "))
        else:
            self.screen.end(_line(name, event))


def _trial(event: Mapping[str, Any]) -> str:
    """Return such as "trial 12, best 0.8312"; no trial may be complete yet."""
    best = event.get("best")
    return f"trial {event['number']}" + (f", best {best:.4f}" if best is not None else "")


def _unchanged(event: Mapping[str, Any]) -> str:
    """Return such as "stage embedder unchanged", where DVC quotes the name in a sentence."""
    _, stage, _ = str(event["line"]).split("'", maxsplit=2)
    return f"stage {stage} unchanged"


def _title(name: str, event: Mapping[str, Any]) -> str:
    classifier = event.get("classifier")
    title = name[:1].upper() + name[1:]
    return f"{title} ({classifier})" if classifier else title


def _line(name: str, event: Mapping[str, Any]) -> str:
    failed = "  failed" if event["state"] == "failed" else ""
    outcome = f"\n    {event['outcome']}" if event.get("outcome") else ""
    return f"{_title(name, event):<{TITLE_WIDTH}} {event['seconds']:>8.1f} s{failed}{outcome}"


@contextmanager
def shown_stages(
    settings: Settings, command: str, *, verbose: bool, classifiers: int | None = None
) -> Iterator[None]:
    """Show the stages of a command on standard error, and log to `logs/COMMAND.log` of the home.

    With `verbose` the log stays on standard error.
    """
    parts = {"train classifiers": count_stages(settings.repository, classifiers)}
    log = nullcontext(sys.stderr) if verbose else _logged_to(settings, command)
    with (
        log as stream,
        _screen(stream, live=not verbose) as screen,
        listening(Stages(screen, parts).follow),
    ):
        yield


def count_stages(repository: Path, classifiers: int | None) -> int:
    """Return how many stages of dvc.yaml a training runs for so many classifiers, None for all."""
    from core.params.schema import load_params

    stages = yaml.safe_load((repository / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
    each = classifiers
    if each is None:
        each = len(load_params(repository / "params.yaml").classifiers)
    return sum(each if "foreach" in stage else 1 for stage in stages.values())


@contextmanager
def _screen(stream: TextIO, *, live: bool) -> Iterator[Screen]:
    if not live or not stream.isatty():
        yield PlainScreen(stream)
        return
    screen = LiveScreen(stream)
    try:
        yield screen
    finally:
        screen.progress.stop()


@contextmanager
def _logged_to(settings: Settings, command: str) -> Iterator[TextIO]:
    """Let standard error of this process and its children lead to a file; yield the real one.

    The descriptor is replaced, not `sys.stderr`: libraries of C++ and programs write to it too.
    """
    require_home(settings)
    file = log_file(settings, command)
    with _opened_log(file) as log, os.fdopen(os.dup(2), "w", encoding="utf-8") as screen:
        sys.stderr.flush()
        os.dup2(log.fileno(), 2)
        try:
            yield screen
        except BaseException:
            print(f"the log: {file}", file=screen)
            raise
        finally:
            sys.stderr.flush()
            os.dup2(screen.fileno(), 2)
            # Prefect's own server, which stops at the end of the process, says so.
            logging.getLogger("prefect").setLevel(logging.WARNING)


def _opened_log(file: Path) -> TextIO:
    private_folder(file.parent)
    if file.exists() and file.stat().st_size > KEPT_BYTES:
        file.replace(file.with_name(f"{file.name}.1"))
    return file.open("a", encoding="utf-8")
