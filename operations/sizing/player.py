"""Plays one load test in Locust, as a process of its own: `python -m operations.sizing.player` reads a plan and prints what came back.

Locust patches sockets, threads and time for gevent; in here that reaches nobody else. The API key comes from the environment.
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
    """Standard input: url, classifier, phrases, due, users. Standard output: began, and a row a request."""
    import gevent  # noqa: F401
    import locust  # first of all: patches

    plan = json.load(sys.stdin)
    json.dump(play(locust, plan), sys.stdout)


def play(locust: Any, plan: dict[str, Any]) -> dict[str, Any]:
    """Ask for every phrase at its moment. Rows are [place, milliseconds since it was due, status, cached, retries]."""
    from locust.env import Environment

    rows: list[list[Any]] = []
    environment = Environment(
        user_classes=[_asking(locust, plan, rows)], host=plan["url"], catch_exceptions=True
    )
    runner = environment.create_local_runner()
    runner.start(plan["users"], spawn_rate=plan["users"])
    _until(lambda: runner.user_count == plan["users"], seconds=plan["patience"])
    _finish(plan, rows)
    runner.quit()
    return {"rows": rows}


def _finish(plan: dict[str, Any], rows: list[list[Any]]) -> None:
    """Open the doors, and wait until every phrase was answered or is beyond hope."""
    plan["start"] = time.perf_counter()
    _until(lambda: len(rows) == len(plan["due"]), seconds=plan["due"][-1] + plan["patience"])


def _until(done: Callable[[], bool], *, seconds: float) -> None:
    end = time.perf_counter() + seconds
    while not done() and time.perf_counter() < end:
        time.sleep(0.02)


def _asking(locust: Any, plan: dict[str, Any], rows: list[list[Any]]) -> type:
    """A user takes the next phrase, waits for its moment and asks; when all users are busy a phrase waits, and its clock runs."""
    from operations.sizing.retry import Retry

    places = itertools.count()
    key = os.environ.get(API_KEY)
    path, headers = (
        f"/v1/{plan['classifier']}/predict",
        {"authorization": f"Bearer {key}"} if key else {},
    )

    class Asking(locust.FastHttpUser):  # type: ignore[misc, name-defined]
        connection_timeout = network_timeout = plan["timeout"]
        default_headers = headers

        @locust.task
        def ask(self) -> None:
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
            rows.append(
                [
                    place,
                    (time.perf_counter() - due) * 1000,
                    answer.status_code,
                    cached,
                    retry.retries,
                ]
            )

    return Asking


if __name__ == "__main__":
    main()
