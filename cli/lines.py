"""Named facts as lines: wrapped at whole words on a terminal, one line each elsewhere."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator

from cli.tables import screen_width

NAME_WIDTH = 9
INDENT = 2 + NAME_WIDTH + 1


def fact_lines(facts: Iterable[tuple[str, str]]) -> Iterator[str]:
    """Yield each name with its text, as wide as the terminal."""
    columns = screen_width()
    for name, text in facts:
        yield from wrapped(f"  {name:<{NAME_WIDTH}} {text}", columns, indent=INDENT)


def wrapped(line: str, columns: int | None, *, indent: int) -> list[str]:
    """Wrap one line at whole words, with an indent from the second line on."""
    if columns is None:
        return [line]
    return textwrap.wrap(
        line,
        max(columns, 2 * indent),
        subsequent_indent=" " * indent,
        break_long_words=False,
        break_on_hyphens=False,
        drop_whitespace=True,
    )
