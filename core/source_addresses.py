"""Where labelled rows come from: the variables that name sources, and what an address may be."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, SecretStr

from core.errors import QueryRefused, SettingsError, SourceUnreachable
from core.urls import URL, usable_url

SOURCE_VARIABLE = re.compile(r"^PERENNIAL_SOURCE(?:_(?P<name>[A-Z][A-Z0-9_]*))?_URL$")
"""`PERENNIAL_SOURCE_URL`, and `PERENNIAL_SOURCE_<NAME>_URL` for a block with `from: <name>`."""
FILES = (".csv", ".tsv", ".parquet", ".json", ".jsonl", ".ndjson")
"""Endings of the files that can be a source."""
_RELATIVE_FILE = re.compile(
    r"^(?P<scheme>(?:sqlite|duckdb)(?:\+[a-z0-9_]+)?):///(?P<file>[^/:].*)$"
)


def source_variable(name: str | None) -> str:
    """Return the variable of a named source, or of the one that blocks share."""
    return f"PERENNIAL_SOURCE_{name.upper()}_URL" if name else "PERENNIAL_SOURCE_URL"


@contextmanager
def naming_source(place: str) -> Iterator[None]:
    """Make the advice of errors name where this source is set, not the shared variable."""
    try:
        yield
    except (QueryRefused, SourceUnreachable, SettingsError) as error:
        do = error.do.replace(source_variable(None), place)
        raise type(error)(error.wanted, came=error.came, do=do) from None


def named_sources() -> dict[str, str]:
    """Return name -> address for every `PERENNIAL_SOURCE_<NAME>_URL` of the environment."""
    matches = {SOURCE_VARIABLE.match(variable): value for variable, value in os.environ.items()}
    return {
        match["name"].lower(): value
        for match, value in matches.items()
        if match is not None and match["name"] is not None
    }


def is_path(address: str) -> bool:
    """Return True for a file or a folder, False for a database's URL."""
    return not URL.match(address)


def absolute_address(address: str) -> str:
    """Return a URL, or a path that holds in every folder: flows start in other folders.

    `postgres://` becomes `postgresql://`.

    Raises `ValueError` for a text that is neither. It does not repeat the text, which may contain
    a password.
    """
    if relative := _RELATIVE_FILE.match(address):
        return f"{relative['scheme']}:///{Path(relative['file']).resolve()}"
    if URL.match(address):
        return usable_url(address)
    if not _looks_like_path(address):
        raise ValueError(
            "neither a URL such as postgresql://user@host/name nor a path such as tickets.csv; "
            "the value is a secret and not shown"
        )
    return str(Path(address).expanduser().resolve())


def _looks_like_path(address: str) -> bool:
    """A path begins like one, ends like a file that can be read, or exists."""
    begins = address.startswith(("/", "./", "../", "~"))
    return begins or address.lower().endswith(FILES) or (address != "" and Path(address).exists())


SourceAddress = Annotated[
    SecretStr, AfterValidator(lambda given: SecretStr(absolute_address(given.get_secret_value())))
]
"""A setting of this kind is absolute, and is never shown."""
