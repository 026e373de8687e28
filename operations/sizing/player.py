"""Plays one load test in Locust: `python -m operations.sizing.player` reads a plan, prints rows.

It is a process of its own because Locust patches sockets, threads and time for gevent. The API key
comes from the environment.
"""

from __future__ import annotations

import itertools
import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any

from core.contracts import LOADTEST_KEY

API_KEY = "PERENNIAL_API_KEY"


def main() -> None:
    """Read a plan (`Plan.as_json`) on standard input; write one row per request as JSON."""
    import gevent  # noqa: F401
    import locust  # patches: imported before anything that opens a socket

    plan = json.load(sys.stdin)
    json.dump(play(locust, plan), sys.stdout)


def play(locust: Any, plan: dict[str, Any]) -> dict[str, Any]:
    """Send every phrase when it is due.

    Rows are [place, milliseconds since it was due, status, cached, retries].
    """
    from locust.env import Environment

    rows: list[list[Any]] = []
    environment = Environment(
        user_classes=[_user_class(locust, plan, rows)], host=plan["url"], catch_exceptions=True
    )
    runner = environment.create_local_runner()
    runner.start(plan["users"], spawn_rate=plan["users"])
    _until(lambda: runner.user_count == plan["users"], seconds=plan["patience"])
    _finish(plan, rows)
    runner.quit()
    return {"rows": rows}


def _finish(plan: dict[str, Any], rows: list[list[Any]]) -> None:
    """Let the users start, and wait until every phrase is answered or the time is over."""
    plan["start"] = time.perf_counter()
    _until(lambda: len(rows) == len(plan["due"]), seconds=plan["due"][-1] + plan["patience"])


def _until(done: Callable[[], bool], *, seconds: float) -> None:
    end = time.perf_counter() + seconds
    while not done() and time.perf_counter() < end:
        time.sleep(0.02)


def _user_class(locust: Any, plan: dict[str, Any], rows: list[list[Any]]) -> type:
    """Return a Locust user that takes the next phrase, waits until it is due and sends it.

    When all users are busy the phrase waits, and its clock runs.
    """
    from operations.sizing.retry import Retry

    places = itertools.count()
    key = os.environ.get(API_KEY)
    path = f"/v1/{plan['classifier']}/predict"
    headers = {"authorization": f"Bearer {key}"} if key else {}

    class PlanUser(locust.FastHttpUser):  # type: ignore[misc, name-defined]
        connection_timeout = network_timeout = plan["timeout"]
        default_headers = headers

        @locust.task  # type: ignore[untyped-decorator]  # the module is handed in as Any
        def send_next(self) -> None:
            while "start" not in plan:
                time.sleep(0.01)
            place = next(places)
            if place >= len(plan["due"]):
                raise locust.exception.StopUser
            due = plan["start"] + plan["due"][place]
            time.sleep(max(0.0, due - time.perf_counter()))
            retry = Retry()
            body = {"phrase": plan["phrases"][place], "key": f"{LOADTEST_KEY}{place}"}
            answer = retry.call(lambda: self.client.post(path, json=body, name="predict"))
            cached = answer.json().get("cached") if answer.status_code == 200 else None
            milliseconds = (time.perf_counter() - due) * 1000
            rows.append([place, milliseconds, answer.status_code, cached, retry.retries])

    return PlanUser


if __name__ == "__main__":
    main()
