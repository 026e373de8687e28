"""How soon each classifier's watch would call a change; asks the database while it runs."""

from __future__ import annotations

from core.database import connect, open_database
from core.embedded import postmaster
from core.errors import DatabaseUnreachable
from core.settings import Settings
from monitoring.drift.power_reports import read_powers


def powers_of(settings: Settings) -> dict[str, str]:
    """Return classifier -> sentence; empty while the database is down."""
    if settings.database_url is None and postmaster(settings.home / "postgres") is None:
        return {}
    try:
        with open_database(settings) as urls:
            engine = connect(urls.perennial)
            try:
                with engine.connect() as connection:
                    return read_powers(connection)
            finally:
                engine.dispose()
    except DatabaseUnreachable:
        return {}
