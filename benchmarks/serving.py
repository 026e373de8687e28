"""Perennial's service beside five others, whole processes that serve the same head: requests a second, latency, CPU a request, errors.

    python -m benchmarks.serving [--quick] [--json] [--rounds N] [--only KEY...] [--keep FILE] [--join]
    python -m benchmarks.serving --soak [--keep FILE]

Needs the demo's `build/` and `wrk` (Debian's package). Stream W: Zipf over 20,000 terms, which every cache holds, warm. Stream M: Zipf over
200,000 phrases with clerks' noise, with cold caches and after 300,000 phrases. CPU is that of all processes of a service's tree, until its
journal is in the database; what PostgreSQL itself spends is told beside it.

In pieces: every turn of a contender is a line in FILE as soon as it ends, and what is told are the medians of all turns in it; `--join`
only tells.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

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
)
from benchmarks.harness import Result, median, options, present, tell
from benchmarks.serving_bars import bars, tables
from benchmarks.serving_turns import (
    FULL,
    QUICK,
    Figures,
    Scale,
    Streams,
    clients,
    draw_streams,
    soak,
    turn_m,
    turn_w,
)

KEYS = {
    "ours": PERENNIAL,
    "unsynced": NO_SYNC,
    "unlogged": NO_LOG,
    "a": BARE,
    "a-litert": BARE_LITERT,
    "b": CACHED,
    "b-tensorflow": CACHED_TF,
    "c": DEPENDS,
    "d": MLFLOW,
    "d-lru": MLFLOW_CACHED,
    "e": CONSTANT,
}
ON_M = (PERENNIAL, BARE, BARE_LITERT, CACHED)
PACKAGES = (
    "bentoml",
    "fastapi",
    "mlflow",
    "starlette",
    "uvicorn",
    "uvloop",
    "httptools",
    "tensorflow",
    "ai-edge-litert",
    "numpy",
)


def main() -> None:
    """Measure and print."""
    parser = options("Perennial's service beside its peers")
    parser.add_argument(
        "--rounds",
        type=int,
        default=3,
        help="turns of each contender; medians are told (default 3; 1 with --quick)",
    )
    parser.add_argument(
        "--only",
        nargs="+",
        choices=KEYS,
        default=list(KEYS),
        metavar="KEY",
        help=f"some contenders: {', '.join(KEYS)}",
    )
    parser.add_argument(
        "--keep",
        type=Path,
        metavar="FILE",
        help="JSON lines: a turn each; turns already in it are joined",
    )
    parser.add_argument("--join", action="store_true", help="measure nothing: tell what FILE holds")
    parser.add_argument(
        "--soak",
        action="store_true",
        help="five minutes of steady load and 32 clients for one, instead of the contenders",
    )
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="pb-") as folder:
        result = measure(Path(folder), arguments)
    present(result, title="Serving", packages=PACKAGES, arguments=arguments)


def measure(folder: Path, arguments: argparse.Namespace) -> Result:
    """What was asked for, joined with what FILE holds."""
    scale = QUICK if arguments.quick else FULL
    keep = arguments.keep or folder / "turns.jsonl"
    if not arguments.join:
        shop, streams = Workshop(folder), draw_streams(scale, seed=arguments.seed)
        for found in turns(shop, streams, scale, arguments):
            with keep.open("a", encoding="utf-8") as file:
                file.write(json.dumps(found) + "\n")
    lines = [json.loads(line) for line in keep.read_text(encoding="utf-8").splitlines()]
    figures = joined(lines)
    most = max(sum(name in line for line in lines) for name in figures)
    said = f"W 20,000 terms, M 200,000 phrases, Zipf 1.1, {scale.clients} clients, {scale.seconds:.0f} s each, {most} rounds"
    return Result(figures=dict(figures), bars=bars(figures), tables=tables(figures), input=said)


def turns(
    shop: Workshop, streams: Streams, scale: Scale, arguments: argparse.Namespace
) -> Iterator[Figures]:
    """Every contender once a round, every second round in reverse order, each stream in fresh processes."""
    if arguments.soak:
        yield from soak(shop, streams, scale)
        yield clients(shop, streams, scale)
        return
    chosen = [KEYS[key] for key in arguments.only]
    tell("building what the contenders load")
    shop.prepare(chosen)
    rounds = 1 if arguments.quick else arguments.rounds
    for number in range(rounds):
        for one in chosen if number % 2 == 0 else reversed(chosen):
            tell(f"round {number + 1} of {rounds}: {one.name}")
            yield from turn(shop, one, streams, scale)
    if arguments.quick and PERENNIAL in chosen:
        yield clients(shop, streams, scale)


def turn(shop: Workshop, one: Contender, streams: Streams, scale: Scale) -> Iterator[Figures]:
    """One contender: on W, then on M."""
    yield turn_w(shop, one, streams, scale)
    if one in ON_M:
        yield turn_m(shop, one, streams, scale)


def joined(lines: Sequence[Figures]) -> dict[str, dict[str, float]]:
    """Medians over the turns, contenders in their order."""
    seen: dict[str, list[dict[str, float]]] = defaultdict(list)
    for line in lines:
        for name, facts in line.items():
            seen[name].append(facts)
    order = [one.name for one in KEYS.values()]
    place = {
        name: next(
            (rank for rank, known in enumerate(order) if name.startswith(f"{known} on")), len(order)
        )
        for name in seen
    }
    return {name: _medians(seen[name]) for name in sorted(seen, key=lambda name: place[name])}


def _medians(found: Sequence[dict[str, float]]) -> dict[str, float]:
    return {key: median(one[key] for one in found) for key in found[0]}


if __name__ == "__main__":
    main()
