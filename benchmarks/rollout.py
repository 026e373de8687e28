"""Rollouts under load: promotions and rollbacks, how soon each is seen and what requests notice; what a shadow costs the service.

Needs the demo's `build/`: its embedder, its phrases, and one classifier's head, which serves as two versions that differ in nothing else.
"""

from __future__ import annotations

import argparse
import itertools
import os
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx
import numpy as np
import psutil
import pyarrow.parquet as pq
from sqlalchemy.engine import Engine

from benchmarks.harness import Bar, Result, median, options, present, table, tell
from benchmarks.processes import on_threads
from benchmarks.servers import free_port
from bentos.packaging.package import build_bento, serve_command
from core.contracts import Deployment, ModelVersion, Role
from core.database import connect, open_database
from core.deployments import append_deployment
from core.settings import REPOSITORY, load_settings
from pipelines.model.head_file import head_digest, load_head

NAME, CLIENTS, ZIPF = "chapter", 4, 1.1
VISIBLE_SECONDS, SLOWER, SHADOW_MS = 5.0, 2.0, 0.1
READY_SECONDS = 180.0


@dataclass
class Served:
    """A running service, its table of who answers, and its two versions."""

    url: str
    engine: Engine
    versions: dict[str, ModelVersion]
    process: psutil.Process

    def put(self, version: str, role: Role = "champion", share: float = 1.0) -> None:
        with self.engine.begin() as connection:
            append_deployment(
                connection,
                Deployment(self.versions[version], role, share, datetime.now(UTC), "benchmark"),
            )

    def cpu_seconds(self) -> float:
        """Of all its processes so far."""
        return sum(
            sum(one.cpu_times()[:2])
            for one in [self.process, *self.process.children(recursive=True)]
        )


@dataclass
class Load:
    """Requests of CLIENTS without a pause: moment, seconds, status, version."""

    seen: list[tuple[float, float, int, str]] = field(default_factory=list)

    def milliseconds(self, start: float, end: float, percent: float) -> float:
        return float(
            np.percentile(
                [1000 * seconds for moment, seconds, *_ in self.seen if start <= moment < end],
                percent,
            )
        )

    @property
    def failed(self) -> int:
        return sum(status != 200 for *_, status, _ in self.seen)


@contextmanager
def served(build: Path) -> Iterator[Served]:
    """A bento of the head and the embedder in `build`, served on a free port with a database of its own."""
    with TemporaryDirectory(prefix="roll-", ignore_cleanup_errors=True) as folder:
        home = Path(folder)
        settings = load_settings(
            home=home, database_url=None, service_port=free_port(), log_format="json"
        )
        versions = {version: _stored(home, build, version) for version in ("1", "2")}
        tag = build_bento(
            {NAME: versions["1"]},
            embedder=build / "embedder",
            staging=home / "s",
            bento_store=home / "bentoml",
            version="1",
        )
        with open_database(settings) as urls:
            engine = connect(urls.perennial)
            command = serve_command(tag, settings=settings, database_url=urls.perennial)
            with (home / "log").open("wb") as log:
                started = subprocess.Popen(
                    command.argv,
                    cwd=REPOSITORY,
                    env={**os.environ, **command.environment},
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                )
            try:
                _until(lambda: _ready(settings.service_url), seconds=READY_SECONDS)
                yield Served(settings.service_url, engine, versions, psutil.Process(started.pid))
            finally:
                started.terminate()
                started.wait(30)
                engine.dispose()


def _stored(home: Path, build: Path, version: str) -> ModelVersion:
    folder = home / "models" / NAME / version
    shutil.copytree(build / "classifiers" / NAME / "model", folder)
    return ModelVersion(
        NAME, version, str(folder), head_digest(folder), load_head(folder).embedder_id
    )


def _ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/readyz", timeout=5).status_code == 200
    except httpx.HTTPError:
        return False


def _until(condition: Callable[[], bool], *, seconds: float) -> float:
    """Return the seconds it took; infinite when it did not happen in time."""
    started = time.monotonic()
    while time.monotonic() - started < seconds:
        if condition():
            return time.monotonic() - started
        time.sleep(0.02)
    return float("inf")


@contextmanager
def loaded(service: Served, phrases: list[str], *, seed: int) -> Iterator[Load]:
    """Ask for Zipf-distributed phrases from CLIENTS threads while the block runs."""
    load, stop = Load(), threading.Event()
    ranks = np.random.default_rng(seed).zipf(ZIPF, size=200_000) % len(phrases)
    numbers = itertools.count()

    def ask() -> None:
        with httpx.Client(base_url=service.url, timeout=10) as client:
            while not stop.is_set():
                phrase, started = phrases[ranks[next(numbers) % len(ranks)]], time.monotonic()
                try:
                    answer = client.post(f"/v1/{NAME}/predict", json={"phrase": phrase})
                    load.seen.append(
                        (
                            started,
                            time.monotonic() - started,
                            answer.status_code,
                            answer.json().get("version", ""),
                        )
                    )
                except httpx.HTTPError:
                    load.seen.append((started, time.monotonic() - started, 0, ""))

    with on_threads([ask] * CLIENTS, stop=stop):
        yield load


def roll(
    service: Served, phrases: list[str], result: Result, *, steps: int, seconds: float, seed: int
) -> None:
    """Promote and roll back in turn under load; quiet load of the same length before."""
    with loaded(service, phrases, seed=seed) as load:
        time.sleep(seconds)  # the caches of this stream fill
        quiet = time.monotonic()
        time.sleep(seconds)
        busy, seen = time.monotonic(), []
        for step in range(steps):
            version = "2" if step % 2 == 0 else "1"
            service.put(version)
            seen.append(_until(_answers(load, version), seconds=30))
            tell(f"step {step + 1} of {steps}: seen after {seen[-1]:.2f} s")
        end = time.monotonic()
    before, during = load.milliseconds(quiet, busy, 99), load.milliseconds(busy, end, 99)
    figures = {
        "requests": len(load.seen),
        "failed": load.failed,
        "visible_seconds": seen,
        "p99_before_ms": before,
        "p99_during_ms": during,
    }
    result.figures |= figures
    middle = (load.milliseconds(quiet, busy, 50), load.milliseconds(busy, end, 50))
    rows = [
        ("before", f"{middle[0]:.2f}", f"{before:.2f}"),
        (f"during {steps} rollouts", f"{middle[1]:.2f}", f"{during:.2f}"),
    ]
    result.tables.append(table(("load", "p50, ms", "p99, ms"), rows))
    visible = f"a rollout is seen after {median(seen):.2f} s (median), {max(seen):.2f} s at most"
    result.tables.append(f"{len(load.seen):,} requests, {load.failed} failed; {visible}.")
    result.bars += [
        Bar(f"failed requests in {steps} promotions and rollbacks", load.failed, 0),
        Bar("seconds until a rollout is seen, the slowest", max(seen), VISIBLE_SECONDS),
        Bar("p99 during, times that before", during / before, SLOWER),
    ]


def shade(
    service: Served, phrases: list[str], result: Result, *, rounds: int, requests: int, seed: int
) -> None:
    """CPU of the whole service a request, without and with a shadow, in turn."""
    spent: dict[bool, list[float]] = {False: [], True: []}
    for number in range(rounds):
        for shadowed in (False, True) if number % 2 == 0 else (True, False):
            tell(f"round {number + 1} of {rounds}: {'with' if shadowed else 'without'} a shadow")
            service.put("2", "shadow", 1.0 if shadowed else 0.0)
            _until(_stands_beside(service, shadowed), seconds=30)
            spent[shadowed].append(_cpu_ms(service, phrases, requests=requests, seed=seed))
    without, with_shadow = median(spent[False]), median(spent[True])
    result.figures |= {"cpu_ms_without_shadow": spent[False], "cpu_ms_with_shadow": spent[True]}
    result.tables.append(
        table(
            ("", "CPU ms a request"),
            [("without a shadow", f"{without:.3f}"), ("with a shadow", f"{with_shadow:.3f}")],
        )
    )
    result.bars.append(Bar("CPU ms a request that a shadow adds", with_shadow - without, SHADOW_MS))


def _cpu_ms(service: Served, phrases: list[str], *, requests: int, seed: int) -> float:
    before = service.cpu_seconds()
    with loaded(service, phrases, seed=seed) as load:
        _until(lambda: len(load.seen) >= requests, seconds=600)
    _until(
        lambda: (
            _metric(service, "perennial_shadow_waiting")
            + _metric(service, "perennial_journal_waiting")
            == 0
        ),
        seconds=60,
    )
    return 1000 * (service.cpu_seconds() - before) / len(load.seen)


def _answers(load: Load, version: str) -> Callable[[], bool]:
    return lambda: load.seen[-1][3] == version


def _stands_beside(service: Served, wanted: bool) -> Callable[[], bool]:
    return lambda: (
        bool(
            httpx.get(f"{service.url}/v1/classifiers", timeout=10).json()["classifiers"][0][
                "beside"
            ]
        )
        == wanted
    )


def _metric(service: Served, name: str) -> float:
    lines = httpx.get(f"{service.url}/metrics", timeout=10).text.splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith(f"{name} "))


def measure(arguments: argparse.Namespace) -> Result:
    """Everything, on one service."""
    build, quick = arguments.build, arguments.quick
    phrases = pq.read_table(build / "embeddings" / "phrases.parquet").column(0).to_pylist()[:20_000]
    result = Result(
        input=f"Zipf s = {ZIPF} over {len(phrases):,} phrases of the demo, {CLIENTS} clients without a pause, classifier {NAME}"
    )
    with served(build) as service:
        roll(
            service,
            phrases,
            result,
            steps=4 if quick else 20,
            seconds=3 if quick else 30,
            seed=arguments.seed,
        )
        shade(
            service,
            phrases,
            result,
            rounds=1 if quick else 3,
            requests=1_000 if quick else 20_000,
            seed=arguments.seed,
        )
    return result


if __name__ == "__main__":
    parser = options("promotions and rollbacks under load, and what a shadow costs")
    parser.add_argument(
        "--build",
        type=Path,
        default=REPOSITORY / "build",
        help="the demo's stage outputs (default build/)",
    )
    told = parser.parse_args()
    present(measure(told), title="Rollouts", packages=("bentoml", "numpy"), arguments=told)
