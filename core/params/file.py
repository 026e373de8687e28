"""params.yaml as text: reads it, insists on unique keys, and explains what pydantic refuses."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from pydantic import ValidationError

from core.errors import ParamsError

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

NAME = r"^[a-z][a-z0-9_]{0,39}$"
COLUMN = r"^[A-Za-z_][A-Za-z0-9_]{0,62}$"
QUERY = r"^queries/[A-Za-z0-9_\-]+\.sql$"
FROM = r"^(?:[a-z][a-z0-9_]{0,39}|(?:\w[^/\\:]*/)+(?:\w[^/\\:]*)?|\w[^/\\:]*\.\w+)$"
"""A name, or a relative path that never leaves the repository."""


def _cron_field(value: str) -> str:
    """Return the pattern of a list of values, ranges and steps."""
    part = rf"(?:\*|(?:{value})(?:-(?:{value}))?)(?:/[1-9]\d?)?"
    return f"{part}(?:,{part})*"


_DAY = r"[12]\d|3[01]|0?[1-9]"
_MONTH = "1[0-2]|0?[1-9]|jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec"
_WEEKDAY = "0?[0-7]|sun|mon|tue|wed|thu|fri|sat"
_CRON_FIELDS = (
    _cron_field(r"[0-5]?\d"),
    _cron_field(r"1\d|2[0-3]|0?\d"),
    rf"(?:{_cron_field(_DAY)}|\?|l)",
    _cron_field(_MONTH),
    rf"(?:{_cron_field(_WEEKDAY)}|\?|(?:{_WEEKDAY})#[1-5])",
)
"""Minute, hour, day of the month, month, day of the week."""
CRON = r"^(?i:\s*" + r"\s+".join(_CRON_FIELDS) + r"\s*)$"
_PATTERNS_IN_WORDS = {
    NAME: "a name of lower-case letters, digits and _ (at most 40, a letter first)",
    COLUMN: "a column name of letters, digits and _ (rename the column in the query with `as`)",
    QUERY: "a file queries/NAME.sql, NAME of letters, digits, - and _",
    FROM: "a source's name of lower-case letters, digits and _, or a path in the repository",
    CRON: "the five fields of cron, such as 0 3 * * 1",
}
_MONTH_DAYS = {
    **dict.fromkeys(("2", "feb"), 29),
    **dict.fromkeys(("4", "apr", "6", "jun", "9", "sep", "11", "nov"), 30),
}
"""Days of the months that have fewer than 31."""
PYDANTIC = "Input should be "
SHOWN_CHARACTERS = 80


def possible_day(schedule: str) -> str:
    """Return the schedule.

    Raises ValueError when its months never have its day, such as 31 February.
    """
    _, _, day, month, weekday = schedule.split()
    longest = max(_MONTH_DAYS.get(name.lower().lstrip("0"), 31) for name in month.split(","))
    never = all(number.isdecimal() and int(number) > longest for number in day.split(","))
    if never and weekday in "*?":
        raise ValueError(f"schedule never comes: day {day} of month {month}")
    return schedule


class _UniqueKeyLoader(yaml.SafeLoader):  # type: ignore[misc]  # PyYAML has no types
    """Refuses a key that comes twice: YAML would silently keep the second `classifiers:`."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise yaml.constructor.ConstructorError(
                    "a key that is a list or a block", key.start_mark
                )
            if key.value in seen:
                raise ParamsError(
                    "every key of a block once",
                    came=f"a second `{key.value}` in line {key.start_mark.line + 1}",
                    do="put what belongs to it under the first one",
                )
            seen.add(key.value)
        mapping: dict[Any, Any] = super().construct_mapping(node, deep)
        return mapping


def read_params_file(path: Path) -> dict[str, Any]:
    """Return the mapping in the file. Raises `ParamsError`."""
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), Loader=_UniqueKeyLoader)
    except OSError as error:
        raise ParamsError(
            f"a readable {path.name}",
            came=str(error.strerror),
            do="run from the repository's root",
        ) from None
    except UnicodeDecodeError as error:
        byte = f"byte {error.object[error.start]:#04x} at position {error.start}"
        raise ParamsError(f"UTF-8 in {path.name}", came=byte, do="save the file as UTF-8") from None
    except (yaml.YAMLError, RecursionError, ValueError) as error:  # ValueError: such as 2024-13-45
        raise ParamsError(
            f"YAML in {path.name}", came=" ".join(str(error).split()), do="correct the syntax"
        ) from None
    if not isinstance(content, dict):
        raise ParamsError(
            f"keys and values in {path.name}",
            came=_short(content),
            do="begin with `classifiers:` and a block under it",
        )
    return content


def explain(error: ValidationError, *, known: Collection[str]) -> ParamsError:
    """Return the error of the first wrong key, with its path.

    A misspelt key comes before the key that is missing because of it.

    Parameters
    ----------
    known : collection of str
        The keys that some block has, to suggest one for a misspelt key.
    """
    errors = error.errors()
    unknown = (details for details in errors if details["type"] == "extra_forbidden")
    first = next(unknown, errors[0])
    others = error.error_count() - 1
    path = ".".join(_key_path(first["loc"]))
    more = f" (and {others} more)" if others else ""
    if first["type"] == "extra_forbidden":
        near = get_close_matches(str(first["loc"][-1]), known, n=1)
        do = f"write `{near[0]}` if that is meant, or remove it" if near else "remove it"
        return ParamsError(f"only known keys at {path}", came=f"an unknown key{more}", do=do)
    if first["type"] == "union_tag_invalid":
        return _unknown_kind(path, first["ctx"], more)
    value = "nothing" if first["type"] == "missing" else _short(first.get("input"))
    return ParamsError(_wanted(path, first), came=value + more, do="correct params.yaml")


def _unknown_kind(path: str, context: Mapping[str, Any], more: str) -> ParamsError:
    kinds = [kind.strip("'") for kind in context["expected_tags"].split(", ")]
    near = get_close_matches(context["tag"], kinds, n=1)
    return ParamsError(
        f"{path} to be of the kind {', '.join(kinds)}",
        came=f"`{context['tag']}`{more}",
        do=f"write `{near[0]}` if that is meant" if near else "write one of them",
    )


def _wanted(path: str, details: ErrorDetails) -> str:
    if details["type"] == "missing":
        return f"{path}: a value, because it is required"
    if details["type"] == "too_short":
        return f"{path} to have {details['ctx']['min_length']} or more entries"
    pattern = details.get("ctx", {}).get("pattern")
    if pattern in _PATTERNS_IN_WORDS:
        return f"{path}: {_PATTERNS_IN_WORDS[pattern]}"
    if "parameters" in details["loc"]:
        return f"{path}: a text, a number, or true or false (a date in quotes)"
    message = details["msg"].removeprefix("Value error, ")
    if message.startswith(PYDANTIC):
        return f"{path} to be {message.removeprefix(PYDANTIC)}"
    return f"{path}: {message}"


def _short(value: object) -> str:
    """Show a value in at most 80 characters, and a block by its keys."""
    if value is None:
        return "nothing"
    if value == {}:
        return "an empty block"
    text = f"the keys {', '.join(map(str, value))}" if isinstance(value, dict) else repr(value)
    return text[:SHOWN_CHARACTERS]


def _key_path(location: tuple[int | str, ...]) -> list[str]:
    """Return pydantic's location as the keys of the file.

    Pydantic adds the kind of a head: `head.logistic.C` becomes `head.C`, and
    `compare.0.mlp.epochs` becomes `compare.0.epochs`. Below `history_days` and `parameters` it
    adds types.
    """
    path = []
    for previous, part in zip(("", *location), location, strict=False):
        is_kind = previous in ("head", "history_days") or isinstance(previous, int)
        if not is_kind and part != "[key]":
            path.append(str(part))
    return path[: path.index("parameters") + 2] if "parameters" in path else path
