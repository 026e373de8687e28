"""`perennial notify`: sends what people have not been notified of, or a test message."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated

import typer

from cli.output import FAILED, Json, output

if TYPE_CHECKING:
    from flows.notices import Notice

Test = Annotated[bool, typer.Option("--test", help="Send a test message to each service instead.")]


def register(app: typer.Typer) -> None:
    """Add `notify`."""
    app.command(epilog="Example: PERENNIAL_NOTIFY=mailtos://... perennial notify --test")(notify)


def notify(test: Test = False, json: Json = False) -> None:
    """Send due notices to the services of PERENNIAL_NOTIFY.

    Flows do this when they end, and send each notice once. Exit code 1 when a service rejects the
    test message.
    """
    from core.errors import SettingsError
    from core.settings import load_settings
    from machine.environment import telemetry_off

    os.environ.update(telemetry_off())  # before the import of Prefect, which reads them
    from flows.notices import Notice
    from flows.notify import notify_due, open_services, send

    out = output()
    settings = load_settings()
    services = open_services(settings)
    if not services:
        raise SettingsError(
            "PERENNIAL_NOTIFY to name the services that receive notices",
            came="no value",
            do="set it to Apprise URLs, separated by spaces; then `perennial notify --test`",
        )
    if not test:
        _show(notify_due(settings))
        return
    notice = Notice("test", "", "Perennial: a test", "Notices of this installation arrive here.")
    taken = send(services, notice)
    rows = [
        (place, "sent" if is_sent else "not taken") for place, is_sent in enumerate(taken, start=1)
    ]
    out.table({"taken": taken}, columns=("service", "result"), rows=rows)
    if not all(taken):
        raise typer.Exit(FAILED)


def _show(sent: list[Notice]) -> None:
    text = [notice.title for notice in sent] or ["nothing is due"]
    output().result({"sent": [notice.title for notice in sent]}, text)
