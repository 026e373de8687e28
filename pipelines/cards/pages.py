"""A card as Markdown and as one HTML file that needs no network."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from pathlib import Path
from string import Formatter

from pipelines.cards.card import Card, Figure, Section, Sentence, Table
from pipelines.page_templates import page_environment

_MARKDOWN = re.compile(r"([\\*_\[\]<>|#~&])")
_CODE = re.compile(r"`([^`]+)`")


def as_markdown(card: Card) -> str:
    """Return the card as Markdown; labels and sentences of data stay text."""
    parts = [f"# {plain(card.title)}", *(_section(section) for section in card.sections)]
    return "\n\n".join(parts) + "\n"


def as_text(card: Card) -> str:
    """Return the card as lines for a terminal."""
    lines = [card.title]
    for section in card.sections:
        lines += ["", section.title]
        lines += [f"  {sentence.shown}" for sentence in section.sentences]
        for table in section.tables:
            rows = [list(table.columns), *([cell.shown for cell in row] for row in table.rows)]
            widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
            lines += ["  " + "  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
    return "\n".join(lines) + "\n"


def _section(section: Section) -> str:
    sentences = [plain(sentence.shown) for sentence in section.sentences]
    parts = [f"## {section.title}", "\n".join(sentences), *map(_table, section.tables)]
    return "\n\n".join(part for part in parts if part)


def _table(table: Table) -> str:
    lines = [
        table.columns,
        ["---"] * len(table.columns),
        *([plain(cell.shown) for cell in row] for row in table.rows),
    ]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def plain(text: str) -> str:
    """Return text in which nothing is Markdown or HTML but code in backticks."""
    one_line = " ".join(text.split())
    return _MARKDOWN.sub(r"\\\1", one_line)


def as_html(card: Card) -> str:
    """Return the card as one HTML file, without scripts."""
    environment = page_environment(Path(__file__).parent)
    environment.filters["code"] = _code
    environment.globals["parts"] = parts
    return environment.get_template("card.html").render(card=card)


def parts(sentence: Sentence) -> Iterator[tuple[str, Figure | None]]:
    """Yield the texts of a sentence and its figures, in order."""
    for text, name, _, _ in Formatter().parse(sentence.text):
        yield text, None
        if name is not None:
            yield "", sentence.figures[name]


def _code(text: str) -> str:
    """Escape a text and mark what stands in backticks as code."""
    from markupsafe import Markup

    return Markup(_CODE.sub(r"<code>\1</code>", html.escape(text)))
