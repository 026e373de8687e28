"""The turns of `benchmarks.serving`: load one contender in new processes and measure it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.contenders import BARE, BARE_LITERT, PERENNIAL, Contender, Workshop, metric
from benchmarks.harness import progress
from benchmarks.load import LoadFigures, play, write_bodies
from benchmarks.servers import Server, post_batches
from benchmarks.streams import noisy_phrases, real_phrases, zipf

IN_BATCHES = (PERENNIAL, BARE, BARE_LITERT)
BATCH = 64
FILL = 256
MINUTES = 5
MANY_CLIENTS = 32
CLIENTS_NAME = "32 clients"
SOAK_NAME = "soak"
Figures = dict[str, dict[str, float]]  # contender on stream, figure


@dataclass(frozen=True)
class Scale:
    """How much load.

    `errors_seconds` is for the run that looks for errors. `warm_after` phrases of M fill the caches
    before its warm half. `minute` is the length in seconds of each minute of steady load.
    """

    seconds: float
    clients: int
    errors_seconds: float
    warm_after: int
    minute: float = 60


QUICK = Scale(seconds=3, clients=16, errors_seconds=5, warm_after=5_000, minute=3)
FULL = Scale(seconds=10, clients=16, errors_seconds=60, warm_after=300_000)


@dataclass(frozen=True)
class Streams:
    """The 20,000 terms of W, and the phrases of W and M in order."""

    terms: Sequence[str]
    w: Sequence[str]
    m: Sequence[str]


def draw_streams(scale: Scale, *, seed: int) -> Streams:
    """Draw W and M. A run that reaches the end of a stream starts it again."""
    terms = real_phrases(20_000, seed=seed)
    noisy = noisy_phrases(200_000, seed=seed)
    return Streams(
        terms,
        zipf(terms, length=100_000, seed=seed),
        zipf(noisy, length=scale.warm_after + 300_000, seed=seed),
    )


def turn_w(shop: Workshop, contender: Contender, streams: Streams, scale: Scale) -> Figures:
    """Measure W, phrase by phrase and in batches."""
    figures: Figures = {}
    with shop.start(contender) as server:
        warm(server, contender, streams.terms)
        figures[f"{contender.name} on W"] = load(
            server, contender, write_lines(shop, contender, streams.w), scale
        )
        if contender in IN_BATCHES:
            batches = load_batches(server, contender, shop, streams.w, scale)
            figures[f"{contender.name} on W in batches"] = batches
    return figures


def turn_m(shop: Workshop, contender: Contender, streams: Streams, scale: Scale) -> Figures:
    """Measure M: cold from its start, and warm after `warm_after` phrases, which come in batches.

    A contender without a cache is measured cold only.
    """
    file = write_lines(shop, contender, streams.m)
    figures: Figures = {}
    with shop.start(contender) as server:
        figures[f"{contender.name} on M, cold"] = load(server, contender, file, scale)
        if contender.remembered:
            warm(server, contender, streams.m[: scale.warm_after])
            figures[f"{contender.name} on M, warm"] = load(
                server, contender, file, scale, first=scale.warm_after
            )
    return figures


def clients(shop: Workshop, streams: Streams, scale: Scale) -> Figures:
    """Load cold M from many clients, and count the errors."""
    progress(f"{MANY_CLIENTS} clients for {scale.errors_seconds:.0f} s")
    with shop.start(PERENNIAL) as server:
        file = write_lines(shop, PERENNIAL, streams.m)
        heard = play(
            server.url,
            PERENNIAL.path,
            file,
            clients=MANY_CLIENTS,
            seconds=scale.errors_seconds,
        )
        return {CLIENTS_NAME: facts_of(heard)}


def soak(shop: Workshop, streams: Streams, scale: Scale) -> Iterator[Figures]:
    """Load M steadily with full caches: latencies per minute, and memory before and after."""
    file = write_lines(shop, PERENNIAL, streams.m)
    with shop.start(PERENNIAL) as server:
        progress(f"soak: {scale.warm_after} phrases of M fill the caches")
        warm(server, PERENNIAL, streams.m[: scale.warm_after])
        first = scale.warm_after
        minutes: list[LoadFigures] = []
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
            seen = f"p99 {minutes[-1].p99_ms:.1f} ms, {minutes[-1].requests} requests"
            progress(f"soak: minute {number + 1}: {seen}, {server.pss_mb():.0f} MB")
            first += minutes[-1].requests

        server.settle()
        requests = sum(minute.requests for minute in minutes)
        facts = {
            "requests": requests,
            "errors": sum(minute.errors for minute in minutes),
            "mb_before": before,
            "mb_more_per_100000": (server.pss_mb() - before) / (requests / 100_000),
            "p99_first_ms": minutes[0].p99_ms,
            "p99_last_ms": minutes[-1].p99_ms,
        }
        yield {SOAK_NAME: facts}


def load(
    server: Server,
    contender: Contender,
    file: Path,
    scale: Scale,
    *,
    path: str | None = None,
    first: int = 0,
) -> dict[str, float]:
    """Measure what clients see and the service spends in one period of load."""
    server.settle()
    requests_before, hits_before = counted(server, contender)
    before = _seconds(server)
    heard = play(
        server.url,
        path or contender.path,
        file,
        clients=scale.clients,
        seconds=scale.seconds,
        first=first,
    )
    server.settle()
    spent = _seconds(server)
    cpu = {name: 1000 * (spent[name] - before[name]) / heard.requests for name in spent}
    requests, hits = counted(server, contender)
    hit_rate = (
        (hits - hits_before) / (requests - requests_before) if requests > requests_before else 0.0
    )
    return facts_of(heard) | cpu | {"hit_rate": hit_rate}


def _seconds(server: Server) -> dict[str, float]:
    """CPU seconds so far, by the name of their figure per request."""
    return {
        "cpu_ms": server.cpu_seconds(),
        "loop_cpu_ms": server.loop_seconds(),
        "database_cpu_ms": server.beside_seconds(),
    }


def load_batches(
    server: Server, contender: Contender, shop: Workshop, stream: Sequence[str], scale: Scale
) -> dict[str, float]:
    """Measure batches of 64; `cpu_ms` and `rps` are per phrase."""
    cuts = range(0, len(stream) - BATCH, BATCH)
    bodies = [json.dumps(contender.batch(stream[cut : cut + BATCH])) for cut in cuts]
    file = write_bodies(bodies, shop.folder / "batches")
    facts = load(server, contender, file, scale, path=contender.batch_path)
    cpu_per_phrase = {name: facts[name] / BATCH for name in facts if name.endswith("cpu_ms")}
    return facts | cpu_per_phrase | {"rps": facts["rps"] * BATCH}


def warm(server: Server, contender: Contender, phrases: Sequence[str]) -> None:
    """Send all phrases once to a contender with a cache, and a few to any other."""
    if contender.batch_path and contender.remembered:
        cuts = range(0, len(phrases), FILL)
        batches = (contender.batch(phrases[cut : cut + FILL]) for cut in cuts)
        post_batches(server.url, contender.batch_path, batches)
        return
    post_batches(server.url, contender.path, map(contender.body, phrases[:50]))


def counted(server: Server, contender: Contender) -> tuple[float, float]:
    """Return the service's own counts of phrases and cache hits; 0 and 0 when it has none."""
    if contender.kind == "perennial":
        phrases = metric(server, "perennial_phrases_total")
        return phrases, metric(server, "perennial_phrases_cached_total")
    if contender.kind == "fastapi":
        stats: dict[str, Any] = json.loads(server.get("/stats"))
        return stats["asked"], stats["hits"]
    return 0.0, 0.0


def write_lines(shop: Workshop, contender: Contender, stream: Sequence[str]) -> Path:
    """Write one body per phrase."""
    return write_bodies([contender.line(phrase) for phrase in stream], shop.folder / "bodies")


def facts_of(heard: LoadFigures) -> dict[str, float]:
    """Return what the clients saw, as figures."""
    return {
        "rps": heard.rps,
        "p50_ms": heard.p50_ms,
        "p99_ms": heard.p99_ms,
        "errors": heard.errors,
        "requests": heard.requests,
        "busy": heard.busy,
    }
