"""What is sent to people holds no password."""

from __future__ import annotations

from typing import Any, cast

from flows.notices import failure_notice
from flows.notify import send

PAGE = "http://127.0.0.1:4200"


class Service:
    """A service that keeps what it takes."""

    def __init__(self) -> None:
        self.sent: list[str] = []

    def notify(self, *, title: str, body: str) -> bool:
        self.sent += [title, body]
        return True


def test_no_password_is_sent_in_the_title_or_the_body() -> None:
    address = "https://u:hunter2@host/rows"
    notice = failure_notice("retrain", address, "0195", f"no answer of {address}", PAGE)
    service = Service()
    assert send(cast(Any, [service]), notice) == [True]
    assert service.sent == [
        "retrain failed: https://u:***@host/rows",
        f"no answer of https://u:***@host/rows\n{PAGE}/runs/flow-run/0195",
    ]
