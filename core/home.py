"""The folder of everything made at run time."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryFile

from core.errors import NO_ROOM, SettingsError
from core.settings import Settings


def require_home(settings: Settings) -> Path:
    """Create the home and return it.

    Raises `SettingsError` when it cannot be written to. A full disk raises `OSError`, as elsewhere.
    """
    try:
        settings.home.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=settings.home):
            return settings.home
    except OSError as error:
        if error.errno in NO_ROOM:
            raise
        raise SettingsError(
            "PERENNIAL_HOME to be a folder that can be written to",
            came=f"{settings.home}: {error.strerror}",
            do="correct PERENNIAL_HOME in the environment, or the permissions of that folder",
        ) from None
