"""Memory of 21 classifiers in one service with full caches, beside separate services with one classifier each.

    python -m benchmarks.memory [--quick] [--json]

Needs the demo's `build/`. When `build/` is that of `params-21.yaml`, its 21 heads serve; else copies of the head of `block` under 21 names:
every copy is loaded on its own, and no chapter's own head would have more labels. Separate services: three FastAPI processes (embedder,
head, LRU) run at once; their mean PSS times 21.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

import psutil

from benchmarks.contenders import (
    CACHED,
    CACHED_TF,
    HEAD,
    REMEMBERED,
    Contender,
    Workshop,
    metric,
    run_perennial,
)
from benchmarks.harness import Bar, Result, median, options, present, table, tell
from benchmarks.servers import MEGA, post_batches
from benchmarks.streams import noisy_phrases
from core.settings import REPOSITORY

CLASSIFIERS, SEPARATE, BATCH = 21, 3, 256
ANSWERS = 20_000  # the first level's size by default
PACKAGES = ("bentoml", "fastapi", "tensorflow", "ai-edge-litert", "numpy")


def main() -> None:
    """Measure and print."""
    arguments = options("memory of 21 classifiers in one service").parse_args()
    rounds, phrases = (1, 5_000) if arguments.quick else (3, REMEMBERED)
    with tempfile.TemporaryDirectory(prefix="pb-") as folder:
        result = measure(Path(folder), noisy_phrases(phrases, seed=arguments.seed), rounds=rounds)
    present(result, title="Memory", packages=PACKAGES, arguments=arguments)


def measure(folder: Path, phrases: Sequence[str], *, rounds: int) -> Result:
    """The one service, then the separate ones with each runtime, in turns."""
    shop, seen = Workshop(folder), dict[str, list[float]]()
    shop.prepare((CACHED, CACHED_TF))
    for number in range(rounds):
        tell(f"round {number + 1} of {rounds}")
        for name, value in together(shop, phrases).items():
            seen.setdefault(name, []).append(value)
        for one in (CACHED, CACHED_TF):
            seen.setdefault(one.name, []).append(apart(shop, one, phrases))
    figures = {name: median(values) for name, values in seen.items()}
    return Result(
        dict(figures),
        bars(figures),
        [table(("figure", "value"), [(k, f"{v:,.0f}") for k, v in figures.items()])],
        told(phrases),
    )


def heads() -> dict[str, Path]:
    """21 trained heads when `build/` holds so many, else 21 copies of one."""
    trained = {
        place.parent.name: place
        for place in sorted((REPOSITORY / "build" / "classifiers").glob("*/model"))
    }
    if len(trained) >= CLASSIFIERS:
        return dict(list(trained.items())[:CLASSIFIERS])
    return dict.fromkeys((f"chapter_{number:02}" for number in range(1, CLASSIFIERS + 1)), HEAD)


def together(shop: Workshop, phrases: Sequence[str]) -> dict[str, float]:
    """PSS of the service after every phrase went to one classifier, in turn, and what its caches hold then."""
    served = heads()
    names = list(served)
    with run_perennial(shop.folder, served) as server:
        for place, cut in enumerate(range(0, len(phrases), BATCH)):
            path = f"/v1/{names[place % CLASSIFIERS]}/predict_batch"
            post_batches(server.url, path, [{"phrases": phrases[cut : cut + BATCH]}])
        server.settle()
        kept = at_rest(lambda: metric(server, "perennial_cache_size"))
        each = {
            f"of it, {_part(one)}, MB": one.memory_full_info().pss / MEGA
            for one in server.processes()
        }
        return {"one service, MB": server.pss_mb(), **each, "cache entries, both levels": kept}


def at_rest(read: Callable[[], float]) -> float:
    """A figure that the embedder tells every two seconds, once it moves no more."""
    before = read()
    while True:
        time.sleep(3)
        now = read()
        if now == before:
            return now
        before = now


def _part(process: psutil.Process) -> str:
    """What a process of the service is, by its command line."""
    words = process.cmdline()
    return (
        "supervisor" if "--fd" not in words else "embedder" if "Embedder" in words else "classifier"
    )


def apart(shop: Workshop, one: Contender, phrases: Sequence[str]) -> float:
    """Mean PSS of three services that run at once, each with a 21st of the phrases in its LRU."""
    share = phrases[: len(phrases) // CLASSIFIERS]
    with ExitStack() as stack:
        servers = [stack.enter_context(shop.start(one)) for _ in range(SEPARATE)]
        for server in servers:
            cuts = range(0, len(share), BATCH)
            post_batches(
                server.url,
                str(one.batch_path),
                (one.batch(share[cut : cut + BATCH]) for cut in cuts),
            )
        return sum(server.pss_mb() for server in servers) / SEPARATE


def bars(figures: dict[str, float]) -> list[Bar]:
    """Of the whole service, and its share of 21 separate ones; the first is measured only when both caches are full."""
    ours, full = (
        figures["one service, MB"],
        figures["cache entries, both levels"] >= 0.98 * (ANSWERS + REMEMBERED),
    )
    shares = [
        Bar(f"PSS / that of 21 x {one.name}", ours / (CLASSIFIERS * figures[one.name]), 0.1)
        for one in (CACHED_TF, CACHED)
    ]
    return [Bar("21 classifiers, caches full: PSS, MB", ours if full else None, 700), *shares]


def told(phrases: Sequence[str]) -> str:
    """The input in a line."""
    different = (
        "21 copies of the head of block" if set(heads().values()) == {HEAD} else "21 trained heads"
    )
    return f"{different}; {len(phrases)} phrases ({ANSWERS} answers and {REMEMBERED} embeddings fill the caches)"


if __name__ == "__main__":
    main()
