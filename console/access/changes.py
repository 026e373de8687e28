"""Every change that somebody made in the console: append-only."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from console.access.people import Person
from core.tables.console import console_change


def record_change(
    connection: Connection,
    person: Person,
    *,
    what: str,
    subject: str,
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
    now: datetime,
) -> None:
    """Store who changed what, and what was before. The caller commits, with the change itself.

    `what` is a verb such as `promote`; `subject` names its object, such as `block 3`.
    """
    connection.execute(
        sa.insert(console_change).values(
            changed_at=now,
            person=person.name,
            what=what,
            subject=subject,
            before=dict(before or {}),
            after=dict(after or {}),
        )
    )
