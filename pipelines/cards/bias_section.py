"""The section of the model card about bias."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipelines.bias.words import MEANING, TIMES, group_name
from pipelines.cards.card import Section, Sentence, Table, Writer, ask, plain

TITLE = "Bias"
COLUMNS = ("kind", "group", "number", "at least", "at most", "limit", "what the number is")


def bias_section(write: Writer) -> Section:
    """Return one line per kind: the measure nearest to its limit."""
    kinds: Mapping[str, Any] = ask("bias/kinds", write.facts) or {}
    if not kinds:
        return Section(TITLE, [plain("It was not measured when the version was made.")])
    rows = [_row(write, kind, measure) for kind, measure in kinds.items()]
    return Section(TITLE, _sentences(write), [Table(COLUMNS, rows), _slices(write)])


def _row(write: Writer, kind: str, measure: Mapping[str, Any]) -> list[Sentence]:
    place = f"bias/kinds/{kind}"
    if measure["within"] is None:
        missing = write.say("not measured: {why}", why=f"{place}/missing:text")
        return [plain(kind), missing, *[plain("")] * 4, plain(MEANING[kind])]
    form = "number" if kind == TIMES else "points"
    figures = [f"{place}/{name}:{form}" for name in ("value", "low", "high", "limit")]
    return [
        plain(kind),
        plain(group_name(measure)),
        *write.cells(*figures),
        plain(MEANING[kind]),
    ]


def _sentences(write: Writer) -> list[Sentence]:
    first = write.say(
        "The measure of each kind that is nearest to its limit. A group is measured from {least} "
        "rows on; {missing} were too small. A limit holds a promotion only where the lower bound "
        "is beyond it.",
        least="bias/min_rows:count",
        missing="groups_not_measured:count",
    )
    return [first, *_regions(write)]


def _regions(write: Writer) -> list[Sentence]:
    measures = ask("bias/measures", write.facts) or []
    for place, row in enumerate(measures):
        if row["kind"] == "aggregation" and row["dimension"] == "all" and not row["missing"]:
            pays = "pays" if row["low"] > 0 else "does not pay"
            query = f"bias/measures/{place}"
            text = (
                f"One model per region {pays}: accuracy on unseen phrases {{value}} points "
                "({low} to {high})."
            )
            figures = {name: f"{query}/{name}:gain" for name in ("value", "low", "high")}
            return [write.say(text, **figures)]
    return []


def _slices(write: Writer) -> Table:
    measures = ask("bias/measures", write.facts) or []
    rows = []
    for place, row in enumerate(measures):
        if row["kind"] != "evaluation":
            continue
        query = f"bias/measures/{place}"
        if row["missing"]:
            cells = [write.say("{why}", why=f"{query}/missing:text"), plain(""), plain("")]
        else:
            cells = write.cells(*(f"{query}/{name}:gain" for name in ("value", "low", "high")))
        rows.append([plain(group_name(row)), *write.cells(f"{query}/rows:count"), *cells])
    columns = ("slice", "test rows", "more wrong answers than the rest, points", "from", "to")
    return Table(columns, rows)
