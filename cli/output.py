"""Prints the results of commands.

Standard output carries tables and sentences, or JSON with --json. Standard error carries progress
and errors.
"""

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

from cli.tables import screen_width, table_lines
from core.errors import PerennialError, UsageError

FAILED = 1
MISUSE = 2
NEGATIVE_VERDICT = 3
INTERRUPTED = 130
PAGE = 120  # columns when standard output is a file or a pipe


class Output:
    """Prints for one command line; `json` selects JSON instead of text."""

    def __init__(self) -> None:
        self.json = False

    def result(self, value: Any, text: str | Iterable[str]) -> None:
        """Print `value` as one JSON object, or print the lines of `text`."""
        if self.json:
            self.line(value)
        else:
            for line in [text] if isinstance(text, str) else text:
                typer.echo(line)

    def line(self, value: Any) -> None:
        """Print one JSON object on one line."""
        typer.echo(json.dumps(value, default=_plain, ensure_ascii=False))

    def say(self, text: str) -> None:
        """Report progress on standard error."""
        typer.echo(text, err=True)

    @contextmanager
    def working(self, text: str) -> Iterator[None]:
        """Show a spinner while the block runs; print one plain line when there is no terminal."""
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
        """Print JSON, or a table that is as wide as its cells or the terminal."""
        if self.json:
            self.line(value)
            return
        cells = [[str(cell) for cell in row] for row in rows]
        for line in table_lines([list(columns), *cells], width=screen_width()):
            typer.echo(line)

    def facts(self, value: Any, rows: Iterable[tuple[str, str]]) -> None:
        """Print JSON, or two columns of names and values, wrapped to the screen."""
        if self.json:
            self.line(value)
            return
        cells = [list(row) for row in rows]
        names = max((len(name) for name, _ in cells), default=0)
        for line in table_lines(cells, width=screen_width() or PAGE):
            typer.echo(typer.style(line[:names], bold=True) + line[names:])

    def error(self, error: PerennialError) -> None:
        """Print what was expected, what was found and what to do, on standard error."""
        if self.json:
            fields = {
                "code": error.code,
                "wanted": error.wanted,
                "came": error.came,
                "do": error.do,
                "retryable": error.retryable,
            }
            typer.echo(json.dumps({"error": fields}, ensure_ascii=False), err=True)
        else:
            typer.echo(
                f"Error: expected {error.wanted}\n  got: {error.came.rstrip()}\n  do:  {error.do}",
                err=True,
            )

    def misuse(self, error: typer.TyperException) -> None:
        """Print an error about arguments, in Typer's own words or as one JSON object."""
        if self.json:
            fields = {"code": "misuse", "came": error.format_message()}
            typer.echo(json.dumps({"error": fields}), err=True)
        else:
            error.show()  # type: ignore[attr-defined]


_CURRENT: ContextVar[Output] = ContextVar("output")


def new_output() -> Output:
    """Begin a command line. It prints text until `--json` is parsed."""
    _CURRENT.set(Output())
    return _CURRENT.get()


def output() -> Output:
    """The output of the running command."""
    return _CURRENT.get()


def exit_code(error: PerennialError) -> int:
    """Return 2 for misuse and 1 for every other error."""
    return MISUSE if isinstance(error, UsageError) else FAILED


def _select_json(json: bool) -> bool:
    if json:
        output().json = True
    return json


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
    raise TypeError(f"{type(value).__name__} cannot be written as JSON")


Json = Annotated[
    bool,
    typer.Option(
        "--json", callback=_select_json, is_eager=True, help="Print JSON on standard output."
    ),
]
