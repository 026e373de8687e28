"""Lines of versions: one question, answered in each region by versions of the region's own.

A block with `by: region` and `lines: [north, south]` stands for one classifier per region. It is
expanded before anything else reads it, so that every part of the loop sees plain classifiers.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Container, Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, Field, StringConstraints, TypeAdapter, ValidationError

from core.errors import ParamsError
from core.params.file import NAME, explain
from core.params.heads import StrictBlock
from core.params.types import Column, Name

REGION = "region"


def _is_region(column: str) -> str:
    if column != REGION:
        raise ValueError(
            f"`{REGION}`, the only column by which lines part; in the query, write "
            f"`{column} as {REGION}`"
        )
    return column


By = Annotated[Column, AfterValidator(_is_region)]
Value = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)]


class LineParams(StrictBlock):
    """The part of a question that a classifier answers: the rows whose region is `value`.

    of : the question, the name under which clients ask all its lines
    by : the column, always `region`
    value : the region, as the source and the clients write it
    """

    of: Name
    by: By
    value: Value


class LinesParams(StrictBlock):
    """The two keys of a block that stands for one classifier per region."""

    by: By
    lines: Annotated[list[Value], Field(min_length=1)]


KEYS = frozenset(LinesParams.model_fields)
_SHORT_BLOCKS = TypeAdapter(dict[str, dict[str, LinesParams]])


def expand_content(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return what params.yaml holds with one block per line; see `expand_lines`."""
    blocks = content.get("classifiers")
    if not isinstance(blocks, dict):
        return {**content}
    return {**content, "classifiers": expand_lines(blocks)}


def is_short(block: Any) -> bool:
    """Return whether a block, as the file has it, stands for several lines."""
    return isinstance(block, dict) and not KEYS.isdisjoint(block)


def expand_lines(blocks: Mapping[str, Any]) -> dict[str, Any]:
    """Return the blocks as the file has them, with one block per line in its place.

    The line of region `north` in the block `chapter` is named `chapter_north`. Raises `ParamsError`
    for a name that is taken, and for wrong `by` or `lines`.
    """
    plain = {name for name, block in blocks.items() if not is_short(block)}
    expanded: dict[str, Any] = {}
    for name, block in blocks.items():
        if name in plain:
            expanded[name] = block
            continue
        shared = {key: value for key, value in block.items() if key not in KEYS}
        _refuse_line(name, shared)
        for line in lines_of(name, block):
            own = line_name(name, line["value"])
            _refuse_taken(own, line["value"], plain | expanded.keys())
            expanded[own] = {**shared, "line": line}
    return expanded


def _refuse_line(name: str, block: Container[str]) -> None:
    if "line" in block:
        raise ParamsError(
            f"either `line` or `by` and `lines` in {name}",
            came="both",
            do="remove `line`, or `by` and `lines`",
        )


def lines_of(name: str, block: Mapping[str, Any]) -> list[dict[str, str]]:
    """Return the key `line` of each line of a short block. Raises `ParamsError`."""
    given = {key: block[key] for key in KEYS & block.keys()}
    try:
        checked = _SHORT_BLOCKS.validate_python({"classifiers": {name: given}})
    except ValidationError as error:
        raise explain(error, known=KEYS) from None
    lines = checked["classifiers"][name]
    return [{"of": name, "by": lines.by, "value": value} for value in lines.lines]


def line_name(question: str, value: str) -> str:
    """Return the name of the classifier that answers a question in a region."""
    plain = unicodedata.normalize("NFKD", value).encode("ascii", "ignore").decode()
    words = re.sub(r"[^a-z0-9]+", "_", plain.lower()).strip("_")
    name = f"{question}_{words}"
    if not words or not re.match(NAME, name):
        raise ParamsError(
            "region names that are valid in classifier names (at most 40 letters, digits and _)",
            came=f"{value!r} in the lines of {question}",
            do="give each of its lines a block and a name of its own; see docs/modelling.md",
        )
    return name


def refuse_short_blocks(blocks: Mapping[str, Any]) -> None:
    """Raise `ParamsError` for a short block: DVC reads the names of its stages from the file.

    A retraining writes the lines into its clone; `dvc repro` by hand has nobody who does.
    """
    for name, block in blocks.items():
        if is_short(block):
            raise ParamsError(
                "a block per line for `dvc repro` by hand",
                came=f"`by` and `lines` in {name}",
                do=f"run `perennial lines {name} --write`, or use `perennial retrain`",
            )


def _refuse_taken(name: str, value: str, taken: Container[str]) -> None:
    if name in taken:
        raise ParamsError(
            "a name of its own for every line",
            came=f"{name} for the region {value!r}, a name that is taken",
            do="rename the other classifier, or name each region once",
        )


def refuse_shared_regions(lines: Mapping[str, LineParams]) -> None:
    """Raise ValueError when two classifiers are the line of one region. `lines` are by name."""
    owners: dict[tuple[str, str], str] = {}
    for name, line in lines.items():
        if line.of == name:
            raise ValueError(f"a line has a name of its own; {name} is a line of itself")
        owner = owners.setdefault((line.of, line.value), name)
        if owner != name:
            raise ValueError(
                f"one line per region; {owner} and {name} both answer {line.of} in {line.value!r}"
            )
