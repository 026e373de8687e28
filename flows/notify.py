"""Sends notices to the Apprise URLs of PERENNIAL_NOTIFY, each once."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from core.contracts import Verdict
from core.database import connect, open_database
from core.decisions import record_decision
from core.errors import SettingsError
from core.locks import AdvisoryLock, hold_until_commit
from core.logs import get_logger, redact
from core.settings import Settings, load_settings
from core.tables.loop import decision
from flows.notices import TITLES, Notice, decision_notice, failure_notice, machine_notices
from flows.pages.runs import PARTLY_FAILED

if TYPE_CHECKING:
    from apprise import Apprise

SUBJECT = "notice"
SENT = "sent"
OVER = "over"
LOOK_BACK = timedelta(days=1)
"""Older decisions are not sent any more, for example when PERENNIAL_NOTIFY was set today."""


def notify_due(settings: Settings, *, now: datetime | None = None) -> list[Notice]:
    """Send what nobody was notified of yet; return what was sent.

    A notice that no URL took is due again.
    """
    services = open_services(settings)
    if not services:
        return []

    moment = now or datetime.now(UTC)
    with open_database(settings) as database:
        engine = connect(database.perennial)
        try:
            with engine.begin() as connection:
                hold_until_commit(connection, AdvisoryLock.NOTICES, SUBJECT)
                due = _decisions(connection, settings, moment)
                due += _machine(connection, settings, moment)
                return [
                    notice for notice in due if _send_once(connection, services, notice, moment)
                ]
        finally:
            engine.dispose()


def open_services(settings: Settings) -> list[Apprise]:
    """Return a service per URL of PERENNIAL_NOTIFY; none when it is not set.

    Raises `SettingsError` for a URL that Apprise does not know.
    """
    urls = settings.notify.get_secret_value().split() if settings.notify else []
    if not urls:
        return []
    from apprise import Apprise

    services = [Apprise() for _ in urls]
    for place, (service, url) in enumerate(zip(services, urls, strict=True), start=1):
        if not service.add(url):
            raise SettingsError(
                "PERENNIAL_NOTIFY to hold URLs that Apprise knows, separated by spaces",
                came=f"something else as URL {place} of {len(urls)} (not shown: it is a secret)",
                do="correct it; the documentation of Apprise lists all forms",
            )
    return services


def send(services: Sequence[Apprise], notice: Notice) -> list[bool]:
    """Send a notice, without passwords, to each service; return which of them took it."""
    title = redact(notice.title)
    body = redact(notice.body)
    return [bool(service.notify(title=title, body=body)) for service in services]


def notify_completion(_flow: Any, _run: Any, _state: Any) -> None:
    """Hook of Prefect: send what is due after a run."""
    notify_due(load_settings())


def notify_failure(flow: Any, run: Any, state: Any) -> None:
    """Hook of Prefect: report a failed run at once. The database may be what failed.

    A run of which a part failed recorded that, and what is recorded is sent.
    """
    settings = load_settings()
    if state.name == PARTLY_FAILED:
        notify_due(settings)
        return
    notice = failure_notice(flow.name, run.name, str(run.id), state.message, settings.prefect_url)
    if services := open_services(settings):
        _log(notice, send(services, notice))


def _decisions(connection: Connection, settings: Settings, now: datetime) -> list[Notice]:
    table = decision.c
    rows = connection.execute(
        sa.select(decision)
        .where(
            sa.tuple_(table.subject, table.kind).in_(list(TITLES)),
            table.decided_at > now - LOOK_BACK,
        )
        .order_by(table.id)
    )
    notices = [decision_notice(dict(row), settings) for row in rows.mappings()]
    return [notice for notice in notices if _newest(connection, notice.key) is None]


def _machine(connection: Connection, settings: Settings, now: datetime) -> list[Notice]:
    """Return what the machine lacks since the last look; what is over may be sent again."""
    due = []
    for key, notice in machine_notices(settings).items():
        known = _newest(connection, key) == SENT
        if notice is not None and not known:
            due.append(notice)
        if notice is None and known:
            over = Verdict(OVER, (f"{key} is as it should be",))
            _record(connection, over, key=key, classifier="", now=now)
    return due


def _send_once(
    connection: Connection, services: Sequence[Apprise], notice: Notice, now: datetime
) -> bool:
    taken = send(services, notice)
    _log(notice, taken)
    if any(taken):
        verdict = Verdict(SENT, (notice.title,))
        _record(connection, verdict, key=notice.key, classifier=notice.classifier, now=now)
    return any(taken)


def _newest(connection: Connection, key: str) -> str | None:
    """Return the kind of the newest record of a notice."""
    query = (
        sa.select(decision.c.kind)
        .where(decision.c.subject == SUBJECT, decision.c.run == key)
        .order_by(decision.c.id.desc())
        .limit(1)
    )
    kind: str | None = connection.scalar(query)
    return kind


def _record(
    connection: Connection, verdict: Verdict, *, key: str, classifier: str, now: datetime
) -> None:
    record_decision(
        connection, verdict, classifier=classifier, subject=SUBJECT, decided_at=now, run=key
    )


def _log(notice: Notice, taken: Sequence[bool]) -> None:
    """Say how many services took it; Apprise itself says why one did not."""
    state = "sent" if all(taken) else "not taken by every service"
    get_logger().info("notice", title=notice.title, state=state, services=len(taken))
