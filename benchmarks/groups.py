"""One bento of 21 classifiers beside three bentos of seven: memory, CPU a request, start, disk.

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
from functools import partial
from pathlib import Path

import httpx

from benchmarks.contenders import EMBEDDER, HEAD, appoint, metric
from benchmarks.harness import Bar, Result, median, options, present, table, tell
from benchmarks.load import Heard, play, write_bodies
from benchmarks.servers import Server, free_row, post_batches, run_server, wait_for
from benchmarks.streams import real_phrases, zipf
from bentos.packaging.package import build_bento, serve_command
from core.contracts import ModelVersion
from core.database import open_database
from core.groups import parse_groups
from core.settings import Settings, load_settings
from pipelines.model.embedder import read_embedder
from pipelines.model.head_file import head_digest

NAMES = [f"chapter_{number:02}" for number in range(1, 22)]
GROUPINGS = {"1 bento of 21": 21, "3 bentos of 7": 7}
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
    with tempfile.TemporaryDirectory(prefix="pb-") as stores:
        figures = measure(Path(stores), scale, seed=arguments.seed)
    present(told(figures, scale), title="Bentos", packages=PACKAGES, arguments=arguments)


def measure(stores: Path, scale: Scale, *, seed: int) -> dict[str, Figures]:
    """Pack each grouping once, then take turns; medians by grouping."""
    phrases, seen = real_phrases(scale.phrases, seed=seed), dict[str, list[Figures]]()
    for size in GROUPINGS.values():
        tell(f"packing bentos of {size}")
        pack(stores / str(size), size)
    for number in range(scale.rounds):
        for name in GROUPINGS if number % 2 == 0 else reversed(GROUPINGS):
            tell(f"round {number + 1} of {scale.rounds}: {name}")
            seen.setdefault(name, []).append(
                turn(stores / str(GROUPINGS[name]), GROUPINGS[name], phrases, scale, seed=seed)
            )
    return {
        name: {key: median(one[key] for one in seen[name]) for key in seen[name][0]}
        for name in GROUPINGS
    }


def turn(store: Path, size: int, phrases: Sequence[str], scale: Scale, *, seed: int) -> Figures:
    """One grouping in fresh processes: start, fill both levels, weigh, load."""
    with (
        tempfile.TemporaryDirectory(prefix="pb-") as folder,
        served(Path(folder), store, size) as (settings, server, started),
    ):
        for place, cut in enumerate(range(0, len(phrases), BATCH)):
            name = NAMES[place % len(NAMES)]
            post_batches(
                settings.url_of(name),
                f"/v1/{name}/predict_batch",
                [{"phrases": phrases[cut : cut + BATCH]}],
            )
        load(settings, server, phrases, seconds=1, folder=Path(folder), seed=seed)
        weight, spent = server.pss_mb(), server.cpu_seconds()
        heard = load(
            settings, server, phrases, seconds=scale.seconds, folder=Path(folder), seed=seed + 1
        )
        requests = sum(one.requests for one in heard)
        return {
            "PSS, MB": weight,
            "processes": len(server.processes()),
            "CPU ms a request": 1000 * (server.cpu_seconds() - spent) / requests,
            "requests a second": sum(one.rps for one in heard),
            "errors": sum(one.errors for one in heard),
            "start, s": started,
            "bentos on disk, MB": sum(
                path.stat().st_size for path in store.rglob("*") if path.is_file()
            )
            / 1e6,
        }


def load(
    settings: Settings,
    server: Server,
    phrases: Sequence[str],
    *,
    seconds: float,
    folder: Path,
    seed: int,
) -> list[Heard]:
    """Ask the first classifier of at most four groups at once, CLIENTS in all; return when the journals are in the database."""
    asked = [sorted(group.names)[0] if group.names else NAMES[0] for group in settings.groups][:4]
    bodies = [
        json.dumps({"phrase": phrase}) for phrase in zipf(list(phrases), length=20_000, seed=seed)
    ]
    file, clients = write_bodies(bodies, folder / "bodies"), max(1, CLIENTS // len(asked))
    with ThreadPoolExecutor(len(asked)) as pool:
        played = [
            pool.submit(
                play,
                settings.url_of(name),
                f"/v1/{name}/predict",
                file,
                clients=clients,
                seconds=seconds,
            )
            for name in asked
        ]
        heard = [one.result() for one in played]
    for name in asked:
        wait_for(
            partial(_shipped, settings.url_of(name), server),
            seconds=300,
            what="the journal shipped",
        )
    return heard


def _shipped(url: str, server: Server) -> bool:
    return metric(replace(server, url=url), "perennial_journal_waiting") == 0


@contextmanager
def served(home: Path, store: Path, size: int) -> Iterator[tuple[Settings, Server, float]]:
    """The bentos in `store`, with a PostgreSQL of their own; yields seconds from the start to the last that was ready, too."""
    bentos = grouping(size)
    count = len(parse_groups(bentos))
    changed = {"service_port": free_row(count), "bentos": bentos, "cache_answers": ANSWERS // count}
    settings = load_settings(home=home, database_url=None, log_format="json", **changed)
    (home / "bentoml").symlink_to(store)
    with open_database(settings) as urls:
        appoint(urls.perennial, versions())
        command, began = (
            serve_command("perennial:1", settings=settings, database_url=urls.perennial),
            time.monotonic(),
        )
        environment = {**os.environ, **command.environment}
        log, port = home / "log", settings.service_port
        with run_server(
            command.argv,
            port=port,
            environment=environment,
            log=log,
            ready=lambda _: _ready(settings),
        ) as server:
            yield settings, server, time.monotonic() - began


def grouping(size: int) -> str:
    """PERENNIAL_BENTOS for groups of this size."""
    return ";".join(",".join(NAMES[cut : cut + size]) for cut in range(0, len(NAMES), size))


def versions() -> dict[str, ModelVersion]:
    """The 21, all with the head of `block`."""
    embedder_id = str(read_embedder(EMBEDDER)["embedder_id"])
    return {
        name: ModelVersion(name, "1", str(HEAD), head_digest(HEAD), embedder_id) for name in NAMES
    }


def pack(store: Path, size: int) -> None:
    """Build every group's bento."""
    for group in parse_groups(grouping(size)):
        mine = {name: model for name, model in versions().items() if group.serves(name)}
        build_bento(
            mine,
            embedder=EMBEDDER,
            staging=store.parent / "staging",
            bento_store=store,
            version="1",
            group=group.number,
        )


def _ready(settings: Settings) -> bool:
    urls = [settings.group_url(group.number) for group in settings.groups]
    return all(httpx.get(f"{url}/readyz", timeout=30).status_code == 200 for url in urls)


def told(figures: dict[str, Figures], scale: Scale) -> Result:
    """A column a grouping; errors are the bar."""
    rows = [
        (key, *(f"{one[key]:.4g}" for one in figures.values()))
        for key in next(iter(figures.values()))
    ]
    bars = [Bar(f"{name}: failed requests", one["errors"], 0) for name, one in figures.items()]
    asked = f"{CLIENTS} clients on at most four bentos at once, {scale.seconds:.0f} s, {scale.rounds} rounds"
    said = f"{scale.phrases} terms fill the caches, then Zipf 1.1 over them, {asked}"
    return Result(dict(figures), bars, [table(("", *figures), rows)], said)


if __name__ == "__main__":
    main()
