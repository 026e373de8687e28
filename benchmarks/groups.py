"""One bento of 21 classifiers beside three bentos of seven and 21 of one: memory, CPU a request, start, disk.

    python -m benchmarks.groups [--quick] [--json]

Needs the demo's `build/` and `wrk`. The 21 are copies of the head of `block` under 21 names, as in `benchmarks.memory`. All bentos of a
grouping share one embedder; the first level's 20,000 answers are divided among their processes.
"""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import httpx

from benchmarks.contenders import EMBEDDER, HEAD, appoint, metric
from benchmarks.harness import Bar, Result, median, options, present, table, tell
from benchmarks.load import Heard, play, write_bodies
from benchmarks.servers import Server, free_row, post_batches, run_server, wait_for
from benchmarks.streams import real_phrases, zipf
from bentos.package import build_bento, serve_command
from core.contracts import ModelVersion
from core.database import open_database
from core.groups import group_of
from core.settings import Settings, load_settings
from pipelines.model.embedder import read_embedder
from pipelines.model.head_file import head_digest

NAMES = [f"chapter_{number:02}" for number in range(1, 22)]
GROUPINGS = {"1 bento of 21": 21, "3 bentos of 7": 7, "21 bentos of 1": 1}
ANSWERS, BATCH, CLIENTS = 20_000, 256, 12
PACKAGES = ("bentoml", "ai-edge-litert", "numpy")
Figures = dict[str, float]


@dataclass(frozen=True)
class Scale:
    """Phrases that fill the caches, seconds of load, rounds."""

    phrases: int
    seconds: float
    rounds: int


QUICK, FULL = Scale(2_000, 3, 1), Scale(20_000, 10, 3)


def main() -> None:
    """Measure and print."""
    arguments = options("classifiers in one bento or several").parse_args()
    scale = QUICK if arguments.quick else FULL
    phrases = real_phrases(scale.phrases, seed=arguments.seed)
    groupings = {name: size for name, size in GROUPINGS.items() if size > 1 or not arguments.quick}
    seen: dict[str, list[Figures]] = {name: [] for name in groupings}
    for number in range(scale.rounds):
        for name in groupings if number % 2 == 0 else reversed(groupings):
            tell(f"round {number + 1} of {scale.rounds}: {name}")
            seen[name].append(turn(GROUPINGS[name], phrases, scale, seed=arguments.seed))
    figures = {name: {key: median(one[key] for one in turns) for key in turns[0]} for name, turns in seen.items()}
    present(told(figures, scale), title="Bentos", packages=PACKAGES, arguments=arguments)


def turn(size: int, phrases: Sequence[str], scale: Scale, *, seed: int) -> Figures:
    """One grouping in fresh processes: start, fill both levels, weigh, load, weigh the disk."""
    with tempfile.TemporaryDirectory(prefix="pb-") as folder, served(Path(folder), size) as (settings, server, started):
        for place, cut in enumerate(range(0, len(phrases), BATCH)):
            name = NAMES[place % len(NAMES)]
            post_batches(settings.url_of(name), f"/v1/{name}/predict_batch", [{"phrases": phrases[cut : cut + BATCH]}])
        load(settings, server, phrases, seconds=1, folder=Path(folder), seed=seed)
        weight, spent = server.pss_mb(), server.cpu_seconds()
        heard = load(settings, server, phrases, seconds=scale.seconds, folder=Path(folder), seed=seed + 1)
        requests = sum(one.requests for one in heard)
        return {
            "PSS, MB": weight,
            "processes": len(server.processes()),
            "CPU ms a request": 1000 * (server.cpu_seconds() - spent) / requests,
            "requests a second": sum(one.rps for one in heard),
            "errors": sum(one.errors for one in heard),
            "start, s": started,
            "bentos on disk, MB": _disk_mb(settings.home / "bentoml"),
        }


def load(settings: Settings, server: Server, phrases: Sequence[str], *, seconds: float, folder: Path, seed: int) -> list[Heard]:
    """Ask the first classifier of at most four groups at once, CLIENTS in all; return when the journals are in the database."""
    asked = [sorted(group.names)[0] if group.names else NAMES[0] for group in settings.groups][:4]
    bodies = [json.dumps({"phrase": phrase}) for phrase in zipf(list(phrases), length=20_000, seed=seed)]
    file, clients = write_bodies(bodies, folder / "bodies"), max(1, CLIENTS // len(asked))
    with ThreadPoolExecutor(len(asked)) as pool:
        played = [pool.submit(play, settings.url_of(name), f"/v1/{name}/predict", file, clients=clients, seconds=seconds) for name in asked]
        heard = [one.result() for one in played]
    for name in asked:
        wait_for(lambda: _shipped(settings.url_of(name), server), seconds=300, what="the journal shipped")  # noqa: B023
    return heard


def _shipped(url: str, server: Server) -> bool:
    return metric(replace(server, url=url), "perennial_journal_waiting") == 0


@contextmanager
def served(home: Path, size: int) -> Iterator[tuple[Settings, Server, float]]:
    """Bentos of `size` classifiers each, with a PostgreSQL of their own; yields seconds from the start to the last that was ready, too."""
    groups = [NAMES[cut : cut + size] for cut in range(0, len(NAMES), size)]
    settings = load_settings(
        home=home,
        database_url=None,
        service_port=free_row(len(groups)),
        log_format="json",
        bentos=";".join(",".join(group) for group in groups),
        cache_answers=ANSWERS // len(groups),
    )
    versions = {name: ModelVersion(name, "1", str(HEAD), head_digest(HEAD), _embedder_id()) for name in NAMES}
    tag = pack(settings, versions)
    with open_database(settings) as urls:
        appoint(urls.perennial, versions)
        command, began = serve_command(tag, settings=settings, database_url=urls.perennial), time.monotonic()
        environment = {**os.environ, **command.environment}
        log, port = home / "log", settings.service_port
        with run_server(command.argv, port=port, environment=environment, log=log, ready=lambda _: _ready(settings)) as server:
            yield settings, server, time.monotonic() - began


def pack(settings: Settings, versions: dict[str, ModelVersion]) -> str:
    """Build every group's bento, the first one's last; return its tag."""
    for group in reversed(settings.groups):
        mine = {name: model for name, model in versions.items() if group_of(settings.groups, name) == group}
        parts = {"staging": settings.home / "staging", "bento_store": settings.home / "bentoml"}
        tag = build_bento(mine, embedder=EMBEDDER, version="1", group=group.number, **parts)
    return tag


def _ready(settings: Settings) -> bool:
    urls = [settings.group_url(group.number) for group in settings.groups]
    return all(httpx.get(f"{url}/readyz", timeout=30).status_code == 200 for url in urls)


def _embedder_id() -> str:
    return str(read_embedder(EMBEDDER)["embedder_id"])


def _disk_mb(folder: Path) -> float:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6


def told(figures: dict[str, Figures], scale: Scale) -> Result:
    """A column a grouping; errors are the bar."""
    rows = [(key, *(f"{one[key]:.4g}" for one in figures.values())) for key in next(iter(figures.values()))]
    bars = [Bar(f"{name}: failed requests", one["errors"], 0) for name, one in figures.items()]
    asked = f"{CLIENTS} clients on at most four bentos at once, {scale.seconds:.0f} s, {scale.rounds} rounds"
    said = f"{scale.phrases} terms fill the caches, then Zipf 1.1 over them, {asked}"
    return Result(dict(figures), bars, [table(("", *figures), rows)], said)


if __name__ == "__main__":
    main()
