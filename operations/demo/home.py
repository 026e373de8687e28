"""Clears the home of the demo, and refuses a home or a database that is not the demo's own."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from core.embedded import postmaster
from core.errors import Busy, SettingsError
from core.home import require_home
from core.settings import Settings
from flows.context import DEMO_MARK
from machine.processes import down

OWN_NAMES = re.compile(
    rf"{re.escape(DEMO_MARK)}|(journal|caches)(-\d+)?|bentoml|console-secret|embedders|logs"
    r"|mlartifacts|models|phrases|postgres|prefect|reports|staging|supervisor"
)
"""Names that Perennial creates in its home. The demo refuses to clear a home with any other."""


def clear_home(settings: Settings) -> None:
    """Remove what an earlier demo left, and mark the empty home as the demo's.

    Raises `SettingsError` for a database, models or files of your own, and `Busy` while another
    command uses the home.
    """
    _refuse_own_databases(settings)
    _refuse_own_models(settings)
    _refuse_own_files(require_home(settings))
    down(settings, report=lambda _: None)
    if postmaster(settings.home / "postgres") is not None:
        raise Busy(
            "a home that no other command uses",
            came="another command that holds its PostgreSQL",
            do="wait for it or stop it, then run the demo again",
        )
    shutil.rmtree(settings.home)
    settings.home.mkdir(parents=True, exist_ok=True)
    (settings.home / DEMO_MARK).touch()


def _refuse_own_databases(settings: Settings) -> None:
    if settings.database_url is not None or settings.source_url is not None:
        raise SettingsError(
            "a database and a source of the demo's own",
            came="PERENNIAL_DATABASE_URL or PERENNIAL_SOURCE_URL set",
            do="unset both for the demo",
        )


def _refuse_own_models(settings: Settings) -> None:
    marked = (settings.home / DEMO_MARK).exists()
    if not marked and settings.models.exists() and any(settings.models.iterdir()):
        raise SettingsError(
            "a home without models for the demo",
            came="one in use",
            do="set PERENNIAL_HOME to an empty folder",
        )


def _refuse_own_files(home: Path) -> None:
    """The demo removes its whole home, so files that Perennial did not create stop it."""
    names = sorted(entry.name for entry in home.iterdir())
    own_files = [name for name in names if not OWN_NAMES.fullmatch(name)]
    if own_files:
        raise SettingsError(
            f"a home with only Perennial's files in {home}, which the demo clears",
            came=", ".join(own_files[:5]),
            do="move them elsewhere, or set PERENNIAL_HOME to an empty folder",
        )
