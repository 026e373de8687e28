"""Compares one bento of 21 classifiers with three bentos of seven: memory, CPU, start and disk.

    python -m benchmarks.groups [--quick] [--json]

Needs the demo's `build/` and `wrk`. The 21 classifiers are copies of the head of `block`, as in
`benchmarks.memory`. All bentos of a grouping share one embedder, and the 20,000 answers of the
first level are divided among their processes.
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

from benchmarks.contenders import EMBEDDER, HEAD, make_champions, metric
from benchmarks.harness import Bar, Result, median, options, present, progress, table
from benchmarks.load import LoadFigures, find_wrk, play, write_bodies
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
ANSWERS = 20_000
BATCH = 256
CLIENTS = 12
PACKAGES = ("bentoml", "ai-edge-litert", "numpy")
Figures = dict[str, float]


@dataclass(frozen=True)
class Scale:
    """Number of phrases that fill the caches, seconds of load, and rounds."""

    phrases: int
    seconds: float
    rounds: int


QUICK = Scale(phrases=2_000, seconds=3, rounds=1)
FULL = Scale(phrases=20_000, seconds=10, rounds=3)


def main() -> None:
    """Measure and print."""
    arguments = options("Compare classifiers in one bento and in several.").parse_args()
    find_wrk()
    scale = QUICK if arguments.quick else FULL
    with tempfile.TemporaryDirectory(prefix="pb-") as stores:
        figures = measure(Path(stores), scale, seed=arguments.seed)
    present(build_result(figures, scale), title="Bentos", packages=PACKAGES, arguments=arguments)


def measure(stores: Path, scale: Scale, *, seed: int) -> dict[str, Figures]:
    """Pack each grouping once, measure them by turns, and return the medians by grouping."""
    phrases = real_phrases(scale.phrases, seed=seed)
    turns: dict[str, list[Figures]] = {name: [] for name in GROUPINGS}
    for size in GROUPINGS.values():
        progress(f"packing bentos of {size}")
        pack(stores / str(size), size)
    for number in range(scale.rounds):
        for name in GROUPINGS if number % 2 == 0 else reversed(GROUPINGS):
            progress(f"round {number + 1} of {scale.rounds}: {name}")
            size = GROUPINGS[name]
            turns[name].append(turn(stores / str(size), size, phrases, scale, seed=seed))
    return {name: _medians(figures) for name, figures in turns.items()}


def _medians(turns: Sequence[Figures]) -> Figures:
    return {key: median(figures[key] for figures in turns) for key in turns[0]}


def turn(store: Path, size: int, phrases: Sequence[str], scale: Scale, *, seed: int) -> Figures:
    """Measure one grouping in new processes: start, fill both cache levels, weigh, load."""
    with (
        tempfile.TemporaryDirectory(prefix="pb-") as folder,
        served(Path(folder), store, size) as (settings, server, started),
    ):
        fill(settings, phrases)
        load(settings, server, phrases, seconds=1, folder=Path(folder), seed=seed)
        weight = server.pss_mb()
        spent = server.cpu_seconds()
        heard = load(
            settings, server, phrases, seconds=scale.seconds, folder=Path(folder), seed=seed + 1
        )
        requests = sum(group.requests for group in heard)
        return {
            "PSS, MB": weight,
            "processes": len(server.processes()),
            "CPU ms a request": 1000 * (server.cpu_seconds() - spent) / requests,
            "requests a second": sum(group.rps for group in heard),
            "errors": sum(group.errors for group in heard),
            "start, s": started,
            "bentos on disk, MB": _disk_bytes(store) / 1e6,
        }


def fill(settings: Settings, phrases: Sequence[str]) -> None:
    """Send the phrases in batches to all classifiers by turns."""
    for place, cut in enumerate(range(0, len(phrases), BATCH)):
        name = NAMES[place % len(NAMES)]
        batch = {"phrases": phrases[cut : cut + BATCH]}
        post_batches(settings.url_of(name), f"/v1/{name}/predict_batch", [batch])


def _disk_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def load(
    settings: Settings,
    server: Server,
    phrases: Sequence[str],
    *,
    seconds: float,
    folder: Path,
    seed: int,
) -> list[LoadFigures]:
    """Load the first classifier of at most four groups at once, from CLIENTS clients in all.

    Returns when the journals are in the database.
    """
    names = [sorted(group.names)[0] if group.names else NAMES[0] for group in settings.groups][:4]
    stream = zipf(list(phrases), length=20_000, seed=seed)
    file = write_bodies([json.dumps({"phrase": phrase}) for phrase in stream], folder / "bodies")
    clients = max(1, CLIENTS // len(names))
    with ThreadPoolExecutor(len(names)) as pool:
        played = [
            pool.submit(
                play,
                settings.url_of(name),
                f"/v1/{name}/predict",
                file,
                clients=clients,
                seconds=seconds,
            )
            for name in names
        ]
        heard = [future.result() for future in played]
    for name in names:
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
    """Serve the bentos in `store` with a PostgreSQL of their own.

    Also yields the seconds from the start until the last one is ready.
    """
    bentos = grouping(size)
    count = len(parse_groups(bentos))
    settings = load_settings(
        home=home,
        database_url=None,
        log_format="json",
        service_port=free_row(count),
        bentos=bentos,
        cache_answers=ANSWERS // count,
    )
    (home / "bentoml").symlink_to(store)
    with open_database(settings) as urls:
        make_champions(urls.perennial, versions())
        command = serve_command("perennial:1", settings=settings, database_url=urls.perennial)
        began = time.monotonic()
        with run_server(
            command.argv,
            port=settings.service_port,
            environment=command.child_environment(os.environ),
            log=home / "log",
            ready=lambda _: _ready(settings),
        ) as server:
            yield settings, server, time.monotonic() - began


def grouping(size: int) -> str:
    """PERENNIAL_BENTOS for groups of this size."""
    return ";".join(",".join(NAMES[cut : cut + size]) for cut in range(0, len(NAMES), size))


def versions() -> dict[str, ModelVersion]:
    """The 21 versions, all with the head of `block`."""
    embedder_id = str(read_embedder(EMBEDDER)["embedder_id"])
    return {
        name: ModelVersion(name, "1", str(HEAD), head_digest(HEAD), embedder_id) for name in NAMES
    }


def pack(store: Path, size: int) -> None:
    """Build every group's bento."""
    for group in parse_groups(grouping(size)):
        served_here = {name: model for name, model in versions().items() if group.serves(name)}
        build_bento(
            served_here,
            embedder=EMBEDDER,
            staging=store.parent / "staging",
            bento_store=store,
            version="1",
            group=group.number,
        )


def _ready(settings: Settings) -> bool:
    urls = [settings.group_url(group.number) for group in settings.groups]
    return all(httpx.get(f"{url}/readyz", timeout=30).status_code == 200 for url in urls)


def build_result(figures: dict[str, Figures], scale: Scale) -> Result:
    """One column per grouping; the bars are about errors."""
    rows = [
        (key, *(f"{column[key]:.4g}" for column in figures.values()))
        for key in next(iter(figures.values()))
    ]
    bars = [
        Bar(f"{name}: failed requests", column["errors"], 0) for name, column in figures.items()
    ]
    clients = f"{CLIENTS} clients on at most four bentos at once"
    load = f"{clients}, {scale.seconds:.0f} s, {scale.rounds} rounds"
    about = f"{scale.phrases} terms fill the caches, then Zipf 1.1 over them, {load}"
    return Result(dict(figures), bars, [table(("", *figures), rows)], about)


if __name__ == "__main__":
    main()
