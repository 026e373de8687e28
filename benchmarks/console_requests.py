"""What is asked of the console while it is measured: pages, and searches of every kind."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx
import sqlalchemy as sa
from starlette.testclient import TestClient

from benchmarks.console_world import NAME, VERSIONS, Scale
from benchmarks.harness import median, progress
from console.rendering import TABS
from core.tables.loop import inference
from flows.context import LoopContext


@dataclass
class Timed:
    """Milliseconds of one request on the server; the first one finds no plan and no page in memory.

    `first` is the time of the first call, `again` those of the calls after it.
    """

    name: str
    first: float
    again: list[float] = field(default_factory=list)

    @property
    def typical(self) -> float:
        return median(self.again)

    @property
    def slowest(self) -> float:
        return max(self.again)


def time_requests(client: TestClient, addresses: Mapping[str, str], *, rounds: int) -> list[Timed]:
    """Ask for each address once, then `rounds` times in turns; every answer must be a success."""
    timed = {name: Timed(name, _ask(client, address)) for name, address in addresses.items()}
    for number in range(rounds):
        progress(f"round {number + 1} of {rounds}")
        for name, address in addresses.items():
            timed[name].again.append(_ask(client, address))
    return list(timed.values())


def _ask(client: TestClient, address: str) -> float:
    began = time.perf_counter()
    answer: httpx.Response = client.get(address)
    seconds = time.perf_counter() - began
    answer.raise_for_status()
    return 1000 * seconds


def pages(loop: LoopContext) -> dict[str, str]:
    """Return title -> address of every page that one can open from the tabs, and one page below."""
    with loop.engine.connect() as connection:
        answer = connection.scalar(sa.select(sa.func.max(inference.c.request_id)))
        snapshot = connection.scalar(sa.text("select max(id) from snapshot"))
    tabs = {title: f"/c/{NAME}/{tab}" for tab, title in TABS}
    return {
        "Overview": "/",
        **tabs,
        "One answer": f"/c/{NAME}/answers/{answer}",
        "One version": f"/c/{NAME}/versions/{VERSIONS}",
        "Two versions": f"/c/{NAME}/versions/compare?left=1&right={VERSIONS}",
        "One snapshot": f"/c/{NAME}/data/{snapshot}",
    }


def searches(scale: Scale) -> dict[str, str]:
    """Return name -> address: common and rare, found and not, new and old."""
    rare = scale.phrases - 1
    fields: dict[str, dict[str, Any]] = {
        "the newest": {},
        "a word of a seventh of the phrases": {"text": "fracture"},
        "parts of three words": {"text": "ractur ough yp"},
        "the most frequent phrase": {"text": "acute acute acute type 0"},
        "one of the rarest phrases": {"text": f"type {rare}"},
        "two letters": {"text": "ea"},
        "no such word": {"text": "zebra"},
        "a label": {"label": "L500"},
        "no such label": {"label": "none"},
        "a label and a word": {"label": "L500", "text": "fever"},
        "an old version": {"version": "1"},
        "a word in an old version": {"version": "2", "text": "tumor"},
        "a region": {"region": "region 7"},
        "no such region": {"region": "nowhere"},
        "a role that nobody played": {"role": "shadow"},
        "a day in May": {"since": "2025-05-10", "until": "2025-05-11"},
        "a word in May": {"since": "2025-05-01", "until": "2025-06-01", "text": "ulcer"},
        "unlabelled below 0.31": {"unlabelled": "true", "below": "0.31"},
    }
    return {
        name: str(httpx.URL(f"/api/{NAME}/answers", params=values))
        for name, values in fields.items()
    }


def follow_pages(client: TestClient, *, text: str, number: int) -> Iterator[float]:
    """Yield the milliseconds of each of up to `number` pages of a search, one after the other."""
    address = httpx.URL(f"/api/{NAME}/answers", params={"text": text})
    for _ in range(number):
        began = time.perf_counter()
        answer = client.get(str(address))
        yield 1000 * (time.perf_counter() - began)
        older = answer.raise_for_status().json()["older"]
        if older is None:
            return
        address = address.copy_set_param("before", older)
