"""What the database says of each classifier, for `status` and `doctor`, while it runs."""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy.engine import Connection

from core.database import connect, open_database
from core.embedded import postmaster
from core.errors import DatabaseUnreachable
from core.settings import Settings
from monitoring.outcomes import read_unfinished
from monitoring.power_reports import read_powers


def powers_of(settings: Settings) -> dict[str, str]:
    """Return classifier -> how soon its watch would call a change."""
    return _read(settings, read_powers)


def unfinished_of(settings: Settings) -> dict[str, str]:
    """Return classifier -> what its newest retraining waits for."""
    return _read(settings, read_unfinished)


def _read(settings: Settings, read: Callable[[Connection], dict[str, str]]) -> dict[str, str]:
    """Return what `read` finds; nothing while the database is down."""
    if settings.database_url is None and postmaster(settings.home / "postgres") is None:
        return {}
    try:
        with open_database(settings) as urls:
            engine = connect(urls.perennial)
            try:
                with engine.connect() as connection:
                    return read(connection)
            finally:
                engine.dispose()
    except DatabaseUnreachable:
        return {}
