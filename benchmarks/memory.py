"""Compares the memory of 21 classifiers in one service with that of 21 separate services.

    python -m benchmarks.memory [--quick] [--json]

Needs the demo's `build/`. With the `build/` of `params-21.yaml`, its 21 heads are served; otherwise
copies of the head of `block` under 21 names. Every copy is loaded separately, and no chapter's own
head would have more labels. The caches are full. For the separate services, three FastAPI processes
(embedder, head, LRU) run at once, and their mean PSS counts 21 times.
"""

from __future__ import annotations

import tempfile
import time
from collections import defaultdict
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
from benchmarks.harness import Bar, Result, median, options, present, progress, table
from benchmarks.servers import MEGA, post_batches
from benchmarks.streams import noisy_phrases
from core.settings import REPOSITORY

CLASSIFIERS = 21
SEPARATE = 3
BATCH = 256
ANSWERS = 20_000  # the first level's size by default
PACKAGES = ("bentoml", "fastapi", "tensorflow", "ai-edge-litert", "numpy")


def main() -> None:
    """Measure and print."""
    arguments = options("Measure the memory of 21 classifiers in one service.").parse_args()
    rounds = 1 if arguments.quick else 3
    count = 5_000 if arguments.quick else REMEMBERED
    phrases = noisy_phrases(count, seed=arguments.seed)
    with tempfile.TemporaryDirectory(prefix="pb-") as folder:
        result = measure(Path(folder), phrases, rounds=rounds)
    present(result, title="Memory", packages=PACKAGES, arguments=arguments)


def measure(folder: Path, phrases: Sequence[str], *, rounds: int) -> Result:
    """Measure the one service, then the separate ones with each runtime, by turns."""
    shop = Workshop(folder)
    values: dict[str, list[float]] = defaultdict(list)
    shop.prepare((CACHED, CACHED_TF))
    for number in range(rounds):
        progress(f"round {number + 1} of {rounds}")
        for name, value in together(shop, phrases).items():
            values[name].append(value)
        for contender in (CACHED, CACHED_TF):
            values[contender.name].append(apart(shop, contender, phrases))

    figures = {name: median(rounds_) for name, rounds_ in values.items()}
    rows = [(name, f"{value:,.0f}") for name, value in figures.items()]
    return Result(
        figures=dict(figures),
        bars=bars(figures),
        tables=[table(("figure", "value"), rows)],
        input=describe_input(phrases),
    )


def heads() -> dict[str, Path]:
    """Return 21 trained heads when `build/` holds as many, otherwise 21 copies of one."""
    folders = sorted((REPOSITORY / "build" / "classifiers").glob("*/model"))
    trained = {folder.parent.name: folder for folder in folders}
    if len(trained) >= CLASSIFIERS:
        return dict(list(trained.items())[:CLASSIFIERS])
    return dict.fromkeys((f"chapter_{number:02}" for number in range(1, CLASSIFIERS + 1)), HEAD)


def together(shop: Workshop, phrases: Sequence[str]) -> dict[str, float]:
    """Send the phrases to the classifiers by turns; return the PSS and the cache entries."""
    served = heads()
    names = list(served)
    with run_perennial(shop.folder, served) as server:
        for place, cut in enumerate(range(0, len(phrases), BATCH)):
            path = f"/v1/{names[place % CLASSIFIERS]}/predict_batch"
            post_batches(server.url, path, [{"phrases": phrases[cut : cut + BATCH]}])
        server.settle()
        entries = at_rest(lambda: metric(server, "perennial_cache_size"))
        parts = {
            f"of it, {_part(process)}, MB": process.memory_full_info().pss / MEGA
            for process in server.processes()
        }
        return {"one service, MB": server.pss_mb(), **parts, "cache entries, both levels": entries}


def at_rest(read: Callable[[], float]) -> float:
    """Read a figure, which the embedder reports every two seconds, until it no longer changes."""
    before = read()
    while True:
        time.sleep(3)
        now = read()
        if now == before:
            return now
        before = now


def _part(process: psutil.Process) -> str:
    """The role of a process of the service, by its command line."""
    words = process.cmdline()
    if "--fd" not in words:
        return "supervisor"
    return "embedder" if "Embedder" in words else "classifier"


def apart(shop: Workshop, contender: Contender, phrases: Sequence[str]) -> float:
    """Mean PSS of three services that run at once, each with 1/21 of the phrases in its LRU."""
    share = phrases[: len(phrases) // CLASSIFIERS]
    with ExitStack() as stack:
        servers = [stack.enter_context(shop.start(contender)) for _ in range(SEPARATE)]
        for server in servers:
            cuts = range(0, len(share), BATCH)
            batches = (contender.batch(share[cut : cut + BATCH]) for cut in cuts)
            post_batches(server.url, str(contender.batch_path), batches)
        return sum(server.pss_mb() for server in servers) / SEPARATE


def bars(figures: dict[str, float]) -> list[Bar]:
    """Return bars of the service's PSS, alone and relative to 21 separate services.

    The first is measured only when both caches are full.
    """
    ours = figures["one service, MB"]
    full = figures["cache entries, both levels"] >= 0.98 * (ANSWERS + REMEMBERED)
    shares = [
        Bar(f"PSS / that of 21 x {peer.name}", ours / (CLASSIFIERS * figures[peer.name]), 0.1)
        for peer in (CACHED_TF, CACHED)
    ]
    return [Bar("21 classifiers, caches full: PSS, MB", ours if full else None, 700), *shares]


def describe_input(phrases: Sequence[str]) -> str:
    """Describe the input in one line."""
    copies = set(heads().values()) == {HEAD}
    served = "21 copies of the head of block" if copies else "21 trained heads"
    full = f"{ANSWERS} answers and {REMEMBERED} embeddings fill the caches"
    return f"{served}; {len(phrases)} phrases ({full})"


if __name__ == "__main__":
    main()
