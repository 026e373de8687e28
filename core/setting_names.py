"""The names of the settings: a misspelt variable is refused instead of ignored."""

from __future__ import annotations

import re
from collections.abc import Iterable
from difflib import get_close_matches

from core.errors import SettingsError
from core.settings import Settings

PREFIX = "PERENNIAL_"
FURTHER = frozenset({"SUPERVISED", "FURTHER_BENTOS", "PLAN", "API_KEY", "UPDATE_IMAGES"})
"""Variables that are read elsewhere: by the programs, by `loadtest` and by the tests."""
OTHERS = re.compile(r"SOURCE_[A-Z0-9_]+_URL|SERVICE_HOST|SERVICE_PORT_.*|PORT(_.*)?")
"""Sources that a block names, and what Kubernetes sets for a service called perennial."""
NEAR = 0.8


def refuse_misspelt(names: Iterable[str]) -> None:
    """Raise `SettingsError` for a variable that resembles a setting but is not one."""
    known = {name.upper() for name in Settings.model_fields} | FURTHER
    for variable in sorted(names):
        name = variable.removeprefix(PREFIX)
        if name == variable or name in known or OTHERS.fullmatch(name):
            continue
        if near := get_close_matches(name.upper(), known, n=1, cutoff=NEAR):
            raise SettingsError(
                "the name of a setting after PERENNIAL_",
                came=f"{variable}, which no setting has",
                do=f"write {PREFIX}{near[0]} if that is meant, or unset it",
            )
