"""What finding answers costs the shipper: batches into a log with its indexes, and without them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import orjson
import psutil
import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from benchmarks.console_world import EMBEDDER_ID, END, NAME, WORDS, Scale, write_log
from benchmarks.harness import median
from bentos.inference_log.shipper import insert_rows
from core.database import create_database, migrate, with_driver
from flows.context import LoopContext

BATCH = 2_000
"""Rows: about the megabyte that the shipper sends at once."""
NEW_SHARE = 20
"""One row in so many brings a phrase that was never asked."""
INDEXES = ("inference_by_phrase", "inference_by_label", "inference_by_moment")


@dataclass(frozen=True)
class Cost:
    """Median milliseconds of a batch: until it is stored, and of PostgreSQL's processor."""

    wall: float
    cpu: float


def measure_shipper(loop: LoopContext, *, batches: int) -> dict[str, Cost]:
    """Ship into two databases in turns; return "with" and "without" the console's indexes."""
    scale = Scale(answers=100 * BATCH, phrases=20_000, labelled=1)
    engines = {name: _database(loop, name, scale) for name in ("with", "without")}
    with engines["without"].begin() as connection:
        for index in INDEXES:
            connection.execute(sa.text(f"drop index {index}"))
        connection.execute(sa.text("alter table inference disable trigger keep_phrases"))
    costs: dict[str, list[Cost]] = {name: [] for name in engines}
    for number in range(batches):
        rows = _batch(number)
        for name in list(engines) if number % 2 else reversed(list(engines)):
            costs[name].append(_ship(engines[name], rows))
    for engine in engines.values():
        engine.dispose()
    return {
        name: Cost(median(cost.wall for cost in of), median(cost.cpu for cost in of))
        for name, of in costs.items()
    }


def _database(loop: LoopContext, name: str, scale: Scale) -> Engine:
    create_database(loop.urls.perennial, f"shipper_{name}")
    url = loop.urls.sibling(f"shipper_{name}")
    migrate(url)
    engine = sa.create_engine(with_driver(url, "psycopg"), pool_size=1)
    write_log(engine, scale)
    return engine


def _ship(engine: Engine, rows: bytes) -> Cost:
    with engine.connect() as connection, _backend(connection) as backend:
        cpu = sum(backend.cpu_times()[:2])
        began = time.perf_counter()
        insert_rows(connection, rows)
        connection.commit()
        wall = time.perf_counter() - began
        return Cost(1000 * wall, 1000 * (sum(backend.cpu_times()[:2]) - cpu))


@contextmanager
def _backend(connection: Connection) -> Iterator[psutil.Process]:
    yield psutil.Process(connection.scalar(sa.text("select pg_backend_pid()")))


def _batch(number: int) -> bytes:
    return orjson.dumps([_row(number * BATCH + place) for place in range(BATCH)])


def _row(number: int) -> dict[str, object]:
    words = [WORDS[number * step % len(WORDS)] for step in (3, 5, 7)]
    new = number % NEW_SHARE == 0
    cleaned = " ".join([*words, "new" if new else "type", str(number if new else number % 20_000)])
    return {
        "occurred_at": END,
        "request_id": f"{number:012x}-shipped",
        "version": "12",
        "classifier": NAME,
        "role": "champion",
        "phrase": cleaned.title(),
        "cleaned": cleaned,
        "label": f"L{number % 1000:03}",
        "probability": 0.5,
        "alternatives": [["L001", 0.1], ["L002", 0.05], ["L003", 0.02]],
        "embedder_id": EMBEDDER_ID,
        "cached": True,
        "latency_ms": 1.2,
        "region": f"region {number % 12}",
        "routing_key": None,
        "flags": [],
        "revision": None,
        "head_label": None,
    }
