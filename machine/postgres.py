"""The `postgres` program of `perennial up`."""

from __future__ import annotations

import signal
import threading

from core.database import open_database
from core.embedded import postmaster
from core.errors import DatabaseUnreachable
from core.logs import configure_logs, get_logger
from core.settings import load_settings


def hold() -> None:
    """Keep the embedded server running until SIGTERM or SIGINT.

    Ends with `DatabaseUnreachable` when the server dies, so that the supervisor restarts both.
    """
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    settings = load_settings(database_url=None)
    configure_logs(settings.log_format)
    with open_database(settings):
        get_logger().info("postgres", state="ready")
        while not stop.wait(1.0):
            if postmaster(settings.home / "postgres") is None:
                raise DatabaseUnreachable(
                    "PostgreSQL to keep running",
                    came="an ended process",
                    do="see the log in its folder",
                )


if __name__ == "__main__":
    hold()
