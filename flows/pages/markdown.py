"""Markdown for the pages of the Prefect UI, which reads no files and shows images inline only."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def links_line(links: Mapping[str, str]) -> str:
    """Link addresses; a path is shown as it is, because a browser opens no files from a page."""
    shown = [
        f"[{text}]({target})" if target.startswith("http") else f"{text}: `{target}`"
        for text, target in links.items()
    ]
    return " · ".join(shown)


def as_code(text: str) -> str:
    """Return text as inline code in a table cell: nothing in it is Markdown."""
    return f"`{text.replace('`', chr(39)).replace('|', '/')}`"


def plain(text: str) -> str:
    """Return text in which nothing is Markdown or HTML."""
    return re.sub(r"([\\`*_\[\]<>|#~&])", r"\\\1", text)


def inline_image(path: Path) -> str:
    """Return a PNG as an image that is part of the text."""
    return f"![{path.stem}](data:image/png;base64,{base64.b64encode(path.read_bytes()).decode()})"
