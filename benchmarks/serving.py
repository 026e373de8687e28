"""Perennial's service beside five others, whole processes that serve the same head: requests a second, latency, CPU a request, errors.

    python -m benchmarks.serving [--quick] [--json]

Needs the demo's `build/` and `wrk` (Debian's package). Stream W: Zipf over 20,000 terms, which every cache holds, warm. Stream M: Zipf over
200,000 phrases with clerks' noise, with cold caches and after 300,000 phrases. CPU is that of all processes of a service's tree, until its
journal is in the database; what PostgreSQL itself spends is told beside it.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.contenders import (
    BARE,
    BARE_LITERT,
    CACHED,
    CACHED_TF,
    CONSTANT,
    DEPENDS,
    MLFLOW,
    MLFLOW_CACHED,
    NO_LOG,
    NO_SYNC,
    PERENNIAL,
    Contender,
    Workshop,
    metric,
)
from benchmarks.harness import Result, median, options, present, tell
from benchmarks.load import Heard, play, write_bodies
from benchmarks.servers import Server, post_batches
from benchmarks.serving_bars import bars, tables
from benchmarks.streams import noisy_phrases, real_phrases, zipf

ON_W = (PERENNIAL, NO_SYNC, NO_LOG, BARE, BARE_LITERT, CACHED, CACHED_TF, DEPENDS, MLFLOW, MLFLOW_CACHED, CONSTANT)
ON_M = (PERENNIAL, BARE, BARE_LITERT, CACHED)
IN_BATCHES = (PERENNIAL, BARE, BARE_LITERT)
BATCH, FILL = 64, 256
PACKAGES = ("bentoml", "fastapi", "mlflow", "starlette", "uvicorn", "tensorflow", "ai-edge-litert", "numpy")
Figures = dict[str, dict[str, float]]  # contender on stream, figure


@dataclass(frozen=True)
class Scale:
    """How much: seconds of load, clients, seconds of the run that looks for errors, phrases of M asked for before its warm half."""

    seconds: float
    clients: int
    errors_seconds: float
    warm_after: int


QUICK, FULL = Scale(3, 16, 5, 5_000), Scale(10, 16, 60, 300_000)


@dataclass(frozen=True)
class Streams:
    """`terms`: the 20,000 of W. `w`, `m`: what is asked for, in order."""

    terms: Sequence[str]
    w: Sequence[str]
    m: Sequence[str]


def main() -> None:
    """Measure and print."""
    parser = options("Perennial's service beside its peers")
    parser.add_argument("--rounds", type=int, default=3, help="turns of each contender; medians are told (default 3; 1 with --quick)")
    arguments = parser.parse_args()
    scale, rounds = (QUICK, 1) if arguments.quick else (FULL, arguments.rounds)
    with tempfile.TemporaryDirectory(prefix="pb-") as folder:
        result = measure(Path(folder), scale, rounds=rounds, seed=arguments.seed)
    present(result, title="Serving", packages=PACKAGES, arguments=arguments)


def measure(folder: Path, scale: Scale, *, rounds: int, seed: int) -> Result:
    """Every contender once a round, every second round in reverse order, each in fresh processes."""
    shop, streams = Workshop(folder), draw_streams(scale, seed=seed)
    tell("building what the contenders load")
    shop.prepare(ON_W)
    seen: dict[str, list[dict[str, float]]] = {}
    for number in range(rounds):
        for one in ON_W if number % 2 == 0 else reversed(ON_W):
            tell(f"round {number + 1} of {rounds}: {one.name}")
            for name, facts in turn(shop, one, streams, scale).items():
                seen.setdefault(name, []).append(facts)
    figures: dict[str, dict[str, float]] = {name: _medians(turns) for name, turns in seen.items()}
    told = (
        f"W {len(streams.terms)} terms, M 200,000 phrases, Zipf 1.1, {scale.clients} clients, {scale.seconds:.0f} s each, {rounds} rounds"
    )
    return Result(figures=dict(figures), bars=bars(figures), tables=tables(figures), input=told)


def _medians(turns: Sequence[dict[str, float]]) -> dict[str, float]:
    return {key: median(turn[key] for turn in turns) for key in turns[0]}


def draw_streams(scale: Scale, *, seed: int) -> Streams:
    """W and M; a run that is through with a stream begins it again."""
    terms, noisy = real_phrases(20_000, seed=seed), noisy_phrases(200_000, seed=seed)
    return Streams(terms, zipf(terms, length=100_000, seed=seed), zipf(noisy, length=scale.warm_after + 300_000, seed=seed))


def turn(shop: Workshop, one: Contender, streams: Streams, scale: Scale) -> Figures:
    """One contender in fresh processes: W, batches of W, many clients; then in other fresh processes M, cold and warm."""
    found: Figures = {}
    with shop.start(one) as server:
        warm(server, one, streams.terms)
        found[f"{one.name} on W"] = load(server, one, write_lines(shop, one, streams.w), scale)
        if one in IN_BATCHES:
            found[f"{one.name} on W in batches"] = load_batches(server, one, shop, streams.w, scale)
        if one is PERENNIAL:
            heard = play(server.url, one.path, write_lines(shop, one, streams.m), clients=32, seconds=scale.errors_seconds)
            found["32 clients"] = facts_of(heard)
    if one in ON_M:
        found |= play_m(shop, one, streams.m, scale)
    return found


def play_m(shop: Workshop, one: Contender, stream: Sequence[str], scale: Scale) -> Figures:
    """Cold from its beginning on; warm after `warm_after` phrases, which come in batches. Without a cache both are the same."""
    file, found = write_lines(shop, one, stream), {}
    with shop.start(one) as server:
        found[f"{one.name} on M, cold"] = load(server, one, file, scale)
        if one.remembered:
            warm(server, one, stream[: scale.warm_after])
            found[f"{one.name} on M, warm"] = load(server, one, file, scale, first=scale.warm_after)
    return found


def load(server: Server, one: Contender, file: Path, scale: Scale, *, path: str | None = None, first: int = 0) -> dict[str, float]:
    """What clients saw and the service spent in one stretch."""
    server.settle()
    asked, hits = counted(server, one)
    before, beside = server.cpu_seconds(), server.beside_seconds()
    heard = play(server.url, path or one.path, file, clients=scale.clients, seconds=scale.seconds, first=first)
    server.settle()
    spent, database = server.cpu_seconds() - before, server.beside_seconds() - beside
    now_asked, now_hits = counted(server, one)
    hit_rate = (now_hits - hits) / (now_asked - asked) if now_asked > asked else 0.0
    cpu = {"cpu_ms": 1000 * spent / heard.requests, "database_cpu_ms": 1000 * database / heard.requests}
    return facts_of(heard) | cpu | {"hit_rate": hit_rate}


def load_batches(server: Server, one: Contender, shop: Workshop, stream: Sequence[str], scale: Scale) -> dict[str, float]:
    """The same in batches of 64: `cpu_ms` and `rps` are per phrase."""
    cuts = range(0, len(stream) - BATCH, BATCH)
    file = write_bodies([json.dumps(one.batch(stream[cut : cut + BATCH])) for cut in cuts], shop.folder / "batches")
    facts = load(server, one, file, scale, path=one.batch_path)
    return facts | {"cpu_ms": facts["cpu_ms"] / BATCH, "database_cpu_ms": facts["database_cpu_ms"] / BATCH, "rps": facts["rps"] * BATCH}


def warm(server: Server, one: Contender, phrases: Sequence[str]) -> None:
    """Ask for all of them once when the contender remembers, else for a few."""
    if one.batch_path and one.remembered:
        cuts = range(0, len(phrases), FILL)
        post_batches(server.url, one.batch_path, (one.batch(phrases[cut : cut + FILL]) for cut in cuts))
        return
    post_batches(server.url, one.path, map(one.body, phrases[:50]))


def counted(server: Server, one: Contender) -> tuple[float, float]:
    """Phrases asked for and found, as the service counts them; 0 and 0 when it does not."""
    if one.kind == "perennial":
        return metric(server, "perennial_phrases_total"), metric(server, "perennial_phrases_cached_total")
    if one.kind == "fastapi":
        said: dict[str, Any] = json.loads(server.get("/stats"))
        return said["asked"], said["hits"]
    return 0.0, 0.0


def write_lines(shop: Workshop, one: Contender, stream: Sequence[str]) -> Path:
    """A body a phrase."""
    return write_bodies([one.line(phrase) for phrase in stream], shop.folder / "bodies")


def facts_of(heard: Heard) -> dict[str, float]:
    """As figures."""
    return {"rps": heard.rps, "p50_ms": heard.p50_ms, "p99_ms": heard.p99_ms, "errors": heard.errors, "requests": heard.requests}


if __name__ == "__main__":
    main()
