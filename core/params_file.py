"""params.yaml as text: every key once, and pydantic's refusals in the words of the house."""

from __future__ import annotations

from collections.abc import Collection
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from core.errors import ParamsError

NAME = r"^[a-z][a-z0-9_]{0,39}$"
COLUMN = r"^[A-Za-z_][A-Za-z0-9_]{0,62}$"
QUERY = r"^queries/[A-Za-z0-9_\-]+\.sql$"
_MOMENTS = (
    r"[0-5]?\d", r"1\d|2[0-3]|0?\d", r"[12]\d|3[01]|0?[1-9]", "1[0-2]|0?[1-9]|jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec",
    "0?[0-7]|sun|mon|tue|wed|thu|fri|sat",
)  # fmt: skip
_PARTS = [rf"(?:\*|(?:{one})(?:-(?:{one}))?)(?:/[1-9]\d?)?" for one in _MOMENTS]
_MINUTE, _HOUR, _DAY, _MONTH, _WEEKDAY = (f"{part}(?:,{part})*" for part in _PARTS)
CRON = rf"^(?i:\s*{_MINUTE}\s+{_HOUR}\s+(?:{_DAY}|\?|l)\s+{_MONTH}\s+(?:{_WEEKDAY}|\?|(?:{_MOMENTS[4]})#[1-5])\s*)$"
_WORDS = {
    NAME: "a name of lower-case letters, digits and _ (at most 40, a letter first)",
    COLUMN: "a column name of letters, digits and _ (rename the column in the query with `as`)",
    QUERY: "a file queries/NAME.sql, NAME of letters, digits, - and _",
    CRON: "the five fields of cron, such as 0 3 * * 1",
}


_SHORT = {
    "2": 29,
    "4": 30,
    "6": 30,
    "9": 30,
    "11": 30,
    "feb": 29,
    "apr": 30,
    "jun": 30,
    "sep": 30,
    "nov": 30,
}
"""Days of the months that have less than 31."""


def can_happen(schedule: str) -> str:
    """Return the schedule; raise ValueError for a day that its month never has, such as 31 February."""
    _, _, day, month, weekday = schedule.split()
    longest = max(_SHORT.get(one.lower().lstrip("0"), 31) for one in month.split(","))
    if weekday in "*?" and all(one.isdecimal() and int(one) > longest for one in day.split(",")):
        raise ValueError(f"schedule never comes: day {day} of month {month}")
    return schedule


class _EveryKeyOnce(yaml.SafeLoader):
    """YAML keeps the last of two equal keys: a second `classifiers:` would silently take the place of the first."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise yaml.constructor.ConstructorError(
                    "a key that is a list or a block", key.start_mark
                )
            if key.value in seen:
                place = f"a second `{key.value}` in line {key.start_mark.line + 1}"
                raise ParamsError(
                    "every key of a block once",
                    came=place,
                    do="put what belongs to it under the first one",
                )
            seen.add(key.value)
        return super().construct_mapping(node, deep)


def read_params_file(path: Path) -> dict[str, Any]:
    """The mapping that the file holds. Raises `ParamsError`."""
    try:
        raw = yaml.load(path.read_text(encoding="utf-8"), Loader=_EveryKeyOnce)
    except OSError as error:
        raise ParamsError(
            f"a readable {path.name}", came=str(error.strerror), do="run from the repository's root"
        ) from None
    except UnicodeDecodeError as error:
        came = f"byte {error.object[error.start]:#04x} at position {error.start}"
        raise ParamsError(f"UTF-8 in {path.name}", came=came, do="save the file as UTF-8") from None
    except (
        yaml.YAMLError,
        RecursionError,
        ValueError,
    ) as error:  # PyYAML lets out what `int` and `date` say of 2024-13-45
        raise ParamsError(
            f"YAML in {path.name}", came=" ".join(str(error).split()), do="mend the syntax"
        ) from None
    if not isinstance(raw, dict):
        raise ParamsError(
            f"keys and values in {path.name}",
            came=_short(raw),
            do="begin with `classifiers:` and a block under it",
        )
    return raw


def explain(error: ValidationError, *, known: Collection[str]) -> ParamsError:
    """The first thing that is wrong, by its path; `known` are the keys that any block may have."""
    first, others = error.errors()[0], error.error_count() - 1
    where = ".".join(_without_union_tag(first["loc"]))
    more = f" (and {others} more)" if others else ""
    if first["type"] == "extra_forbidden":
        near = get_close_matches(str(first["loc"][-1]), known, n=1)
        do = f"write `{near[0]}` if that is meant, or remove it" if near else "remove it"
        return ParamsError(f"only known keys at {where}", came=f"an unknown key{more}", do=do)
    came = "nothing" if first["type"] == "missing" else _short(first.get("input"))
    return ParamsError(f"{where}: {_wanted(first)}", came=came + more, do="correct params.yaml")


def _wanted(first: Any) -> str:
    if first["type"] == "missing":
        return "a value, for it is required"
    pattern = first.get("ctx", {}).get("pattern")
    if pattern in _WORDS:
        return _WORDS[pattern]
    if "parameters" in first["loc"]:
        return "a text, a number, or true or false (a date in quotes)"
    return str(first["msg"]).removeprefix("Value error, ")


def _short(value: object) -> str:
    """Collections by what they hold, so that the sentence stays short."""
    if isinstance(value, dict):
        return f"the keys {', '.join(map(str, value))}"[:80] if value else "an empty block"
    return "nothing" if value is None else repr(value)[:80]


def _without_union_tag(loc: tuple[int | str, ...]) -> list[str]:
    """`head.logistic.C` -> `head.C`, `compare.0.mlp.epochs` -> `compare.0.epochs`: pydantic puts kinds into the path."""
    tagged = [before == "head" or isinstance(before, int) for before in ("", *loc)]
    kept = [
        str(part) for tag, part in zip(tagged, loc, strict=False) if not tag and part != "[key]"
    ]
    return kept[: kept.index("parameters") + 2] if "parameters" in kept else kept
