"""Runs the newest bento as a child of this process, which keeps the database open for it."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from core.database import open_database
from core.errors import ProcessFailed
from core.inherited_environment import inherited
from core.settings import REPOSITORY, Settings
from machine.environment import apply_environment, telemetry_off
from machine.programs import newest_bento


def serve_newest(settings: Settings) -> int:
    """Return the exit code of the child, 0 after SIGTERM or Ctrl-C.

    Raises `ProcessFailed` before the first bento.
    """
    from bentos.packaging.package import serve_command

    if newest_bento(settings) is None:
        raise ProcessFailed(
            "a bento to serve",
            came=f"none in {settings.home / 'bentoml'}",
            do="build one with `perennial retrain`",
        )
    apply_environment(telemetry_off())
    with _database_url(settings) as url:
        command = serve_command("perennial:latest", settings=settings, database_url=url)
        child = subprocess.Popen(
            command.argv,
            env=command.child_environment(inherited(os.environ, credentials=False)),
            cwd=REPOSITORY,
        )
        return _wait(child)


@contextmanager
def _database_url(settings: Settings) -> Iterator[str]:
    """Yield the URL of the database, opening the embedded one.

    A database given by URL need not answer: the service starts cold and catches up.
    """
    if settings.database_url is not None:
        yield settings.database_url.get_secret_value()
        return
    with open_database(settings) as urls:
        yield urls.perennial


def _wait(child: subprocess.Popen[bytes]) -> int:
    signals: list[int] = []

    def pass_on(number: int, _: object) -> None:
        signals.append(number)
        child.send_signal(signal.SIGTERM)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, pass_on)
    code = child.wait()
    return 0 if signals else code
