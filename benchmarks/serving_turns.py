"""The turns of `benchmarks.serving`: what one contender is asked for in fresh processes, and what was seen and spent meanwhile."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.contenders import BARE, BARE_LITERT, PERENNIAL, Contender, Workshop, metric
from benchmarks.harness import tell
from benchmarks.load import Heard, play, write_bodies
from benchmarks.servers import Server, post_batches
from benchmarks.streams import noisy_phrases, real_phrases, zipf

IN_BATCHES = (PERENNIAL, BARE, BARE_LITERT)
BATCH, FILL = 64, 256
MINUTES, MANY_CLIENTS = 5, 32
CLIENTS_NAME, SOAK_NAME = "32 clients", "soak"
Figures = dict[str, dict[str, float]]  # contender on stream, figure


@dataclass(frozen=True)
class Scale:
    """How much: seconds of load, clients, seconds of the run that looks for errors, phrases of M asked for before its warm half.

    `minute`: seconds of each of the five minutes of steady load.
    """

    seconds: float
    clients: int
    errors_seconds: float
    warm_after: int
    minute: float = 60


QUICK, FULL = Scale(3, 16, 5, 5_000, 3), Scale(10, 16, 60, 300_000)


@dataclass(frozen=True)
class Streams:
    """`terms`: the 20,000 of W. `w`, `m`: what is asked for, in order."""

    terms: Sequence[str]
    w: Sequence[str]
    m: Sequence[str]


def draw_streams(scale: Scale, *, seed: int) -> Streams:
    """W and M; a run that is through with a stream begins it again."""
    terms, noisy = real_phrases(20_000, seed=seed), noisy_phrases(200_000, seed=seed)
    return Streams(
        terms,
        zipf(terms, length=100_000, seed=seed),
        zipf(noisy, length=scale.warm_after + 300_000, seed=seed),
    )


def turn_w(shop: Workshop, one: Contender, streams: Streams, scale: Scale) -> Figures:
    """W, phrase by phrase and in batches."""
    found: Figures = {}
    with shop.start(one) as server:
        warm(server, one, streams.terms)
        found[f"{one.name} on W"] = load(server, one, write_lines(shop, one, streams.w), scale)
        if one in IN_BATCHES:
            found[f"{one.name} on W in batches"] = load_batches(server, one, shop, streams.w, scale)
    return found


def turn_m(shop: Workshop, one: Contender, streams: Streams, scale: Scale) -> Figures:
    """M: cold from its beginning on; warm after `warm_after` phrases, which come in batches. Without a cache both are the same."""
    file, found = write_lines(shop, one, streams.m), {}
    with shop.start(one) as server:
        found[f"{one.name} on M, cold"] = load(server, one, file, scale)
        if one.remembered:
            warm(server, one, streams.m[: scale.warm_after])
            found[f"{one.name} on M, warm"] = load(server, one, file, scale, first=scale.warm_after)
    return found


def clients(shop: Workshop, streams: Streams, scale: Scale) -> Figures:
    """Many clients on cold M: what fails."""
    tell(f"{MANY_CLIENTS} clients for {scale.errors_seconds:.0f} s")
    with shop.start(PERENNIAL) as server:
        file = write_lines(shop, PERENNIAL, streams.m)
        return {
            CLIENTS_NAME: facts_of(
                play(
                    server.url,
                    PERENNIAL.path,
                    file,
                    clients=MANY_CLIENTS,
                    seconds=scale.errors_seconds,
                )
            )
        }


def soak(shop: Workshop, streams: Streams, scale: Scale) -> Iterator[Figures]:
    """Steady load of M by the same clients, with caches that are full: a figure a minute, and the memory before and after."""
    file = write_lines(shop, PERENNIAL, streams.m)
    with shop.start(PERENNIAL) as server:
        tell(f"soak: {scale.warm_after} phrases of M fill the caches")
        warm(server, PERENNIAL, streams.m[: scale.warm_after])
        first, minutes = scale.warm_after, list[Heard]()
        load(server, PERENNIAL, file, scale, first=first)  # buffers and pools reach their size
        before = server.pss_mb()
        for number in range(MINUTES):
            minutes.append(
                play(
                    server.url,
                    PERENNIAL.path,
                    file,
                    clients=scale.clients,
                    seconds=scale.minute,
                    first=first,
                )
            )
            tell(
                f"soak: minute {number + 1}: p99 {minutes[-1].p99_ms:.1f} ms, {minutes[-1].requests} requests, {server.pss_mb():.0f} MB"
            )
            first += minutes[-1].requests
        server.settle()
        requests, errors = sum(one.requests for one in minutes), sum(one.errors for one in minutes)
        grown = (server.pss_mb() - before) / (requests / 100_000)
        told = {
            "requests": requests,
            "errors": errors,
            "mb_before": before,
            "mb_more_per_100000": grown,
        }
        yield {
            SOAK_NAME: told | {"p99_first_ms": minutes[0].p99_ms, "p99_last_ms": minutes[-1].p99_ms}
        }


def load(
    server: Server,
    one: Contender,
    file: Path,
    scale: Scale,
    *,
    path: str | None = None,
    first: int = 0,
) -> dict[str, float]:
    """What clients saw and the service spent in one stretch."""
    server.settle()
    asked, hits = counted(server, one)
    before, loops, beside = server.cpu_seconds(), server.loop_seconds(), server.beside_seconds()
    heard = play(
        server.url,
        path or one.path,
        file,
        clients=scale.clients,
        seconds=scale.seconds,
        first=first,
    )
    server.settle()
    spent, looped, database = (
        server.cpu_seconds() - before,
        server.loop_seconds() - loops,
        server.beside_seconds() - beside,
    )
    now_asked, now_hits = counted(server, one)
    hit_rate = (now_hits - hits) / (now_asked - asked) if now_asked > asked else 0.0
    cpu = {"cpu_ms": spent, "loop_cpu_ms": looped, "database_cpu_ms": database}
    cpu = {name: 1000 * seconds / heard.requests for name, seconds in cpu.items()}
    return facts_of(heard) | cpu | {"hit_rate": hit_rate}


def load_batches(
    server: Server, one: Contender, shop: Workshop, stream: Sequence[str], scale: Scale
) -> dict[str, float]:
    """The same in batches of 64: `cpu_ms` and `rps` are per phrase."""
    cuts = range(0, len(stream) - BATCH, BATCH)
    file = write_bodies(
        [json.dumps(one.batch(stream[cut : cut + BATCH])) for cut in cuts], shop.folder / "batches"
    )
    facts = load(server, one, file, scale, path=one.batch_path)
    return (
        facts
        | {name: facts[name] / BATCH for name in facts if name.endswith("cpu_ms")}
        | {"rps": facts["rps"] * BATCH}
    )


def warm(server: Server, one: Contender, phrases: Sequence[str]) -> None:
    """Ask for all of them once when the contender remembers, else for a few."""
    if one.batch_path and one.remembered:
        cuts = range(0, len(phrases), FILL)
        post_batches(
            server.url, one.batch_path, (one.batch(phrases[cut : cut + FILL]) for cut in cuts)
        )
        return
    post_batches(server.url, one.path, map(one.body, phrases[:50]))


def counted(server: Server, one: Contender) -> tuple[float, float]:
    """Phrases asked for and found, as the service counts them; 0 and 0 when it does not."""
    if one.kind == "perennial":
        return metric(server, "perennial_phrases_total"), metric(
            server, "perennial_phrases_cached_total"
        )
    if one.kind == "fastapi":
        said: dict[str, Any] = json.loads(server.get("/stats"))
        return said["asked"], said["hits"]
    return 0.0, 0.0


def write_lines(shop: Workshop, one: Contender, stream: Sequence[str]) -> Path:
    """A body a phrase."""
    return write_bodies([one.line(phrase) for phrase in stream], shop.folder / "bodies")


def facts_of(heard: Heard) -> dict[str, float]:
    """As figures."""
    seen = {
        "rps": heard.rps,
        "p50_ms": heard.p50_ms,
        "p99_ms": heard.p99_ms,
        "errors": heard.errors,
        "requests": heard.requests,
    }
    return seen | {"busy": heard.busy}
