"""Tables as text: as wide as their cells, or as the screen, with whole words."""

from __future__ import annotations

import shutil
import sys
import textwrap
from collections.abc import Iterator, Sequence
from itertools import zip_longest

GAP = "  "


def screen_width() -> int | None:
    """Return the columns of the terminal; None for a file or a pipe, whose lines stay whole."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def table_lines(rows: Sequence[Sequence[str]], *, width: int | None) -> Iterator[str]:
    """Yield the lines of a table; a cell that is too long for `width` goes on in the next line.

    A word is never broken, so a table with a longer word is wider than `width`.
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    if width is not None:
        widths = _fit(widths, rows, width)
    for row in rows:
        cells = [_wrap(cell, columns) for cell, columns in zip(row, widths, strict=True)]
        for parts in zip_longest(*cells, fillvalue=""):
            padded = [part.ljust(columns) for part, columns in zip(parts, widths, strict=True)]
            yield GAP.join(padded).rstrip()


def _wrap(cell: str, columns: int) -> list[str]:
    lines = textwrap.wrap(cell, max(1, columns), break_long_words=False, break_on_hyphens=False)
    return lines or [""]


def _fit(widths: Sequence[int], rows: Sequence[Sequence[str]], width: int) -> list[int]:
    """Take from the widest column until the table fits, but leave room for the longest word."""
    fitted = list(widths)
    least = [
        max((len(word) for cell in column for word in cell.split()), default=0)
        for column in zip(*rows, strict=True)
    ]
    while sum(fitted) + len(GAP) * (len(fitted) - 1) > width:
        slack = [index for index, columns in enumerate(fitted) if columns > least[index]]
        if not slack:
            break
        fitted[max(slack, key=fitted.__getitem__)] -= 1
    return fitted
