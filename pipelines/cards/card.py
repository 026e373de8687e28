"""A card as a value: sections of sentences and tables whose figures each name their query.

A query is a path into the facts of a version, such as `evaluation/metrics/accuracy`. The facts are
read from the files that its run logged, from the database and from params.yaml; `derived` holds
what is computed from them. Asking a query again shows whether its sentence is still true.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

Facts = Mapping[str, Any]
FORMS = {
    "text": "{}",
    "count": "{:,}",
    "score": "{:.4f}",
    "number": "{:,.2f}",
    "small": "{:.4g}",
}
POINTS = {"percent": "{:.2f} %", "points": "{:.2f}", "gain": "{:+.2f}"}
"""Forms of a share of 1, shown as hundredths."""
NOTHING = "nothing"


@dataclass(frozen=True)
class Figure:
    """A value of the facts, the path it was read from, and how it is shown."""

    query: str
    value: Any
    form: str

    @property
    def shown(self) -> str:
        """Return the value as text."""
        if self.value is None:
            return NOTHING
        if self.form in POINTS:
            return POINTS[self.form].format(round(100 * self.value, 2) + 0.0)  # never -0.00
        return FORMS[self.form].format(self.value)


@dataclass(frozen=True)
class Sentence:
    """A text with one `{name}` per figure."""

    text: str
    figures: Mapping[str, Figure] = field(default_factory=dict)

    @property
    def shown(self) -> str:
        """Return the sentence with its figures."""
        return self.text.format(**{name: figure.shown for name, figure in self.figures.items()})


@dataclass(frozen=True)
class Table:
    """Columns, and rows of cells."""

    columns: Sequence[str]
    rows: Sequence[Sequence[Sentence]]


@dataclass(frozen=True)
class Section:
    """A heading with sentences, and tables below them."""

    title: str
    sentences: Sequence[Sentence] = ()
    tables: Sequence[Table] = ()

    def every_sentence(self) -> Iterator[Sentence]:
        """Yield the sentences and the cells."""
        yield from self.sentences
        for table in self.tables:
            for row in table.rows:
                yield from row


@dataclass(frozen=True)
class Card:
    """A title and its sections."""

    title: str
    sections: Sequence[Section]

    def every_sentence(self) -> Iterator[tuple[str, Sentence]]:
        """Yield (title of the section, sentence)."""
        for section in self.sections:
            for sentence in section.every_sentence():
                yield section.title, sentence


@dataclass(frozen=True)
class Change:
    """A figure that is no longer true: what the card says and what its query answers now."""

    section: str
    sentence: str
    query: str
    was: str
    is_now: str


class Writer:
    """Writes sentences from facts."""

    def __init__(self, facts: Facts) -> None:
        self.facts = facts

    def say(self, text: str, **figures: str) -> Sentence:
        """Return a sentence; each figure is `query:form`."""
        return Sentence(text, {name: self._figure(query) for name, query in figures.items()})

    def cells(self, *queries: str) -> list[Sentence]:
        """Return one cell per `query:form`; a text without a colon stands as it is."""
        return [
            self.say("{figure}", figure=text) if ":" in text else plain(text) for text in queries
        ]

    def knows(self, query: str) -> bool:
        """Return whether the facts have a value there."""
        return ask(query, self.facts) is not None

    def _figure(self, query_and_form: str) -> Figure:
        query, _, form = query_and_form.rpartition(":")
        return Figure(query, ask(query, self.facts), form)


def plain(text: str) -> Sentence:
    """Return a sentence without figures: braces in it are text."""
    return Sentence(text.replace("{", "{{").replace("}", "}}"))


def step(name: object) -> str:
    """Return a name as one step of a query: a slash in it does not part steps."""
    return str(name).replace("~", "~0").replace("/", "~1")


def ask(query: str, facts: Facts) -> Any:
    """Return the value at a path of names and places in lists, None where there is none."""
    value: Any = facts
    for part in query.split("/"):
        name = part.replace("~1", "/").replace("~0", "~")
        if isinstance(value, Mapping):
            value = value.get(name)
        elif isinstance(value, list) and name.isdecimal() and int(name) < len(value):
            value = value[int(name)]
        else:
            return None
    return value


def changes(card: Card, facts: Facts) -> list[Change]:
    """Return the figures whose query answers otherwise now."""
    changed = []
    for section, sentence in card.every_sentence():
        for figure in sentence.figures.values():
            now = ask(figure.query, facts)
            if not _same(figure.value, now):
                is_now = Figure(figure.query, now, figure.form)
                shown = (figure.query, _exact(figure), _exact(is_now))
                changed.append(Change(section, sentence.shown, *shown))
    return changed


def _same(was: Any, now: Any) -> bool:
    """Compare numbers by value: computing them again may change the last digits."""
    if isinstance(was, float | int) and isinstance(now, float | int):
        return math.isclose(was, now, rel_tol=1e-9, abs_tol=1e-12)
    return bool(was == now)


def _exact(figure: Figure) -> str:
    """Return the value as it is stored where rounding could hide the change."""
    return str(figure.value) if isinstance(figure.value, float) else figure.shown


def as_json(card: Card) -> dict[str, Any]:
    """Return the card as JSON values."""
    return asdict(card)


def from_json(content: Mapping[str, Any]) -> Card:
    """Return the card of `as_json`."""
    return Card(content["title"], [_section(part) for part in content["sections"]])


def _section(content: Mapping[str, Any]) -> Section:
    tables = [
        Table(table["columns"], [[_sentence(cell) for cell in row] for row in table["rows"]])
        for table in content["tables"]
    ]
    sentences = [_sentence(sentence) for sentence in content["sentences"]]
    return Section(content["title"], sentences, tables)


def _sentence(content: Mapping[str, Any]) -> Sentence:
    figures = {name: Figure(**figure) for name, figure in content["figures"].items()}
    return Sentence(content["text"], figures)
