"""Measures rollouts under load, and what a shadow costs the service.

    python -m benchmarks.rollout [--quick] [--json] [--build FOLDER]

Promotions and rollbacks: how soon each is seen, and what requests notice of it. Needs the demo's
`build/`: its embedder, its phrases, and one head, which serves as two versions that do not differ.
"""

from __future__ import annotations

import argparse
import itertools
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import numpy as np
import pyarrow.parquet as pq

from benchmarks.harness import Bar, Result, median, options, present, progress, table
from benchmarks.processes import on_threads
from benchmarks.served import NAME, Served, seconds_until, served
from core.settings import REPOSITORY

CLIENTS = 4
ZIPF = 1.1
VISIBLE_SECONDS = 5.0
SLOWER = 2.0
SHADOW_MS = 0.1


@dataclass(frozen=True)
class Request:
    """One request: its start, its duration in seconds, its status (0: no answer), its version."""

    started: float
    seconds: float
    status: int
    version: str


@dataclass
class Load:
    """Requests of CLIENTS without a pause."""

    requests: list[Request] = field(default_factory=list)

    def milliseconds(self, start: float, end: float, percent: float) -> float:
        """A percentile of the latencies of the requests that started in this time."""
        period = [row for row in self.requests if start <= row.started < end]
        return float(np.percentile([1000 * row.seconds for row in period], percent))

    @property
    def failed(self) -> int:
        return sum(row.status != 200 for row in self.requests)


@contextmanager
def loaded(service: Served, phrases: list[str], *, seed: int) -> Iterator[Load]:
    """Send Zipf-distributed phrases from CLIENTS threads while the block runs."""
    load = Load()
    stop = threading.Event()
    ranks = np.random.default_rng(seed).zipf(ZIPF, size=200_000) % len(phrases)
    numbers = itertools.count()

    def run_client() -> None:
        with httpx.Client(base_url=service.url, timeout=10) as client:
            while not stop.is_set():
                phrase = phrases[ranks[next(numbers) % len(ranks)]]
                load.requests.append(_send(client, phrase))

    with on_threads([run_client] * CLIENTS, stop=stop):
        yield load


def _send(client: httpx.Client, phrase: str) -> Request:
    started = time.monotonic()
    try:
        answer = client.post(f"/v1/{NAME}/predict", json={"phrase": phrase})
        seconds = time.monotonic() - started
        return Request(started, seconds, answer.status_code, answer.json().get("version", ""))
    except httpx.HTTPError:
        return Request(started, time.monotonic() - started, 0, "")


def measure_rollouts(
    service: Served, phrases: list[str], result: Result, *, steps: int, seconds: float, seed: int
) -> None:
    """Promote and roll back by turns under load, after a quiet period of the same load."""
    with loaded(service, phrases, seed=seed) as load:
        time.sleep(seconds)  # the caches of this stream fill
        quiet = time.monotonic()
        time.sleep(seconds)
        busy = time.monotonic()
        visible = _roll(service, load, steps=steps)
        end = time.monotonic()

    before = load.milliseconds(quiet, busy, 99)
    during = load.milliseconds(busy, end, 99)
    result.figures |= {
        "requests": len(load.requests),
        "failed": load.failed,
        "visible_seconds": visible,
        "p99_before_ms": before,
        "p99_during_ms": during,
    }
    rows = [
        ("before", f"{load.milliseconds(quiet, busy, 50):.2f}", f"{before:.2f}"),
        (f"during {steps} rollouts", f"{load.milliseconds(busy, end, 50):.2f}", f"{during:.2f}"),
    ]
    seen = f"a rollout is seen after {median(visible):.2f} s (median), {max(visible):.2f} s at most"
    result.tables += [
        table(("load", "p50, ms", "p99, ms"), rows),
        f"{len(load.requests):,} requests, {load.failed} failed; {seen}.",
    ]
    result.bars += [
        Bar(f"failed requests in {steps} promotions and rollbacks", load.failed, 0),
        Bar("seconds until a rollout is seen, the slowest", max(visible), VISIBLE_SECONDS),
        Bar("p99 during, times that before", during / before, SLOWER),
    ]


def _roll(service: Served, load: Load, *, steps: int) -> list[float]:
    """Return the seconds until each rollout is seen in the answers."""
    visible = []
    for step in range(steps):
        version = "2" if step % 2 == 0 else "1"
        service.deploy(version)
        visible.append(seconds_until(_answers_with(load, version), limit=30))
        progress(f"step {step + 1} of {steps}: seen after {visible[-1]:.2f} s")
    return visible


def _answers_with(load: Load, version: str) -> Callable[[], bool]:
    return lambda: load.requests[-1].version == version


def measure_shadow(
    service: Served, phrases: list[str], result: Result, *, rounds: int, requests: int, seed: int
) -> None:
    """Measure the service's CPU time per request, without and with a shadow, by turns."""
    spent: dict[bool, list[float]] = {False: [], True: []}
    for number in range(rounds):
        for shadowed in (False, True) if number % 2 == 0 else (True, False):
            state = "with" if shadowed else "without"
            progress(f"round {number + 1} of {rounds}: {state} a shadow")
            service.deploy("2", "shadow", 1.0 if shadowed else 0.0)
            seconds_until(_has_shadow(service, shadowed), limit=30)
            spent[shadowed].append(_cpu_ms(service, phrases, requests=requests, seed=seed))

    without = median(spent[False])
    with_shadow = median(spent[True])
    result.figures |= {"cpu_ms_without_shadow": spent[False], "cpu_ms_with_shadow": spent[True]}
    rows = [("without a shadow", f"{without:.3f}"), ("with a shadow", f"{with_shadow:.3f}")]
    result.tables.append(table(("", "CPU ms a request"), rows))
    result.bars.append(Bar("CPU ms a request that a shadow adds", with_shadow - without, SHADOW_MS))


def _cpu_ms(service: Served, phrases: list[str], *, requests: int, seed: int) -> float:
    before = service.cpu_seconds()
    with loaded(service, phrases, seed=seed) as load:
        seconds_until(lambda: len(load.requests) >= requests, limit=600)
    seconds_until(lambda: _waiting(service) == 0, limit=60)
    return 1000 * (service.cpu_seconds() - before) / len(load.requests)


def _waiting(service: Served) -> float:
    shadow = service.metric("perennial_shadow_waiting")
    return shadow + service.metric("perennial_journal_waiting")


def _has_shadow(service: Served, expected: bool) -> Callable[[], bool]:
    def matches() -> bool:
        response = httpx.get(f"{service.url}/v1/classifiers", timeout=10)
        return bool(response.json()["classifiers"][0]["beside"]) == expected

    return matches


def measure(arguments: argparse.Namespace) -> Result:
    """Run both measurements on one service."""
    build: Path = arguments.build
    quick: bool = arguments.quick
    phrases = pq.read_table(build / "embeddings" / "phrases.parquet").column(0).to_pylist()[:20_000]
    stream = f"Zipf s = {ZIPF} over {len(phrases):,} phrases of the demo"
    result = Result(input=f"{stream}, {CLIENTS} clients without a pause, classifier {NAME}")
    with served(build) as service:
        measure_rollouts(
            service,
            phrases,
            result,
            steps=4 if quick else 20,
            seconds=3 if quick else 30,
            seed=arguments.seed,
        )
        measure_shadow(
            service,
            phrases,
            result,
            rounds=1 if quick else 3,
            requests=1_000 if quick else 20_000,
            seed=arguments.seed,
        )
    return result


def main() -> None:
    """Measure and print."""
    parser = options("Measure promotions and rollbacks under load, and what a shadow costs.")
    parser.add_argument(
        "--build",
        type=Path,
        default=REPOSITORY / "build",
        help="the demo's stage outputs (default build/)",
    )
    arguments = parser.parse_args()
    result = measure(arguments)
    present(result, title="Rollouts", packages=("bentoml", "numpy"), arguments=arguments)


if __name__ == "__main__":
    main()
