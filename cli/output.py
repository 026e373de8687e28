"""What a command prints: tables and sentences for people on standard output, or JSON; progress on standard error."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import asdict, is_dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from core.errors import PerennialError, UsageError

OK, FAILED, MISUSE, SAID_NO, INTERRUPTED = 0, 1, 2, 3, 130
PAGE = 120  # columns of a page that goes to a file or a pipe


class Output:
    """How this call answers: `json` or for people."""

    def __init__(self) -> None:
        self.json = False

    def result(self, value: Any, text: str | Iterable[str]) -> None:
        """Print one JSON object, or the lines."""
        if self.json:
            self.line(value)
        else:
            for line in [text] if isinstance(text, str) else text:
                typer.echo(line)

    def line(self, value: Any) -> None:
        """Print one JSON object on one line."""
        typer.echo(json.dumps(value, default=_plain, ensure_ascii=False))

    def say(self, text: str) -> None:
        """Progress, for people."""
        typer.echo(text, err=True)

    @contextmanager
    def working(self, text: str) -> Iterator[None]:
        """A spinner while the block runs on a terminal; one plain line otherwise."""
        if not sys.stderr.isatty():
            self.say(text)
            yield
            return
        from rich.console import Console

        with Console(stderr=True).status(text):
            yield

    def table(
        self, value: Any, *, columns: Sequence[str], rows: Iterable[Sequence[object]]
    ) -> None:
        """Print JSON, or a table as wide as it needs to be."""
        if self.json:
            self.line(value)
            return
        cells = [[str(cell) for cell in row] for row in rows]
        widths = [
            max(len(row[place]) for row in [list(columns), *cells]) for place in range(len(columns))
        ]
        for row in [list(columns), *cells]:
            typer.echo(
                "  ".join(
                    cell.ljust(width) for cell, width in zip(row, widths, strict=True)
                ).rstrip()
            )

    def facts(self, value: Any, rows: Iterable[tuple[str, str]]) -> None:
        """Print JSON, or two columns: names and what they hold, wrapped to the screen."""
        if self.json:
            self.line(value)
            return
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text

        grid = Table.grid(padding=(0, 2))
        for name, held in rows:
            grid.add_row(Text(name, style="bold"), Text(held, overflow="fold"))
        Console(width=None if sys.stdout.isatty() else PAGE).print(grid)

    def error(self, error: PerennialError) -> None:
        """Say what was wanted, what came and what to do: three lines, or one JSON object; on standard error."""
        if self.json:
            told = {
                "code": error.code,
                "wanted": error.wanted,
                "came": error.came,
                "do": error.do,
                "retryable": error.retryable,
            }
            typer.echo(json.dumps({"error": told}, ensure_ascii=False), err=True)
        else:
            typer.echo(
                f"Error: wanted {error.wanted}\n  came: {error.came.rstrip()}\n  do:   {error.do}",
                err=True,
            )

    def misuse(self, error: typer.TyperException) -> None:
        """Bad arguments, in Typer's own words or as one JSON object."""
        if self.json:
            typer.echo(
                json.dumps({"error": {"code": "misuse", "came": error.format_message()}}), err=True
            )
        else:
            error.show()  # type: ignore[attr-defined]


_CURRENT: ContextVar[Output] = ContextVar("output")


def new_output() -> Output:
    """Begin a command line: for people, until `--json` is met."""
    _CURRENT.set(Output())
    return _CURRENT.get()


def output() -> Output:
    """The output of the command that runs."""
    return _CURRENT.get()


def exit_code(error: PerennialError) -> int:
    """Return 2 for misuse, 1 for everything else that went wrong."""
    return MISUSE if isinstance(error, UsageError) else FAILED


def _ask_for_json(wanted: bool) -> bool:
    if wanted:
        output().json = True
    return wanted


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, Mapping):
        return dict(value)
    if hasattr(value, "item"):
        return value.item()
    raise TypeError(f"{type(value).__name__} is not JSON")


Json = Annotated[
    bool,
    typer.Option(
        "--json", callback=_ask_for_json, is_eager=True, help="Answer in JSON on standard output."
    ),
]
