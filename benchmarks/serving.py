"""Compares Perennial's service with five peers on one head: rate, latency, CPU and errors.

    python -m benchmarks.serving [--quick] [--json] [--rounds N] [--only KEY...]
                                 [--keep FILE] [--join]
    python -m benchmarks.serving --soak [--keep FILE]

Needs the demo's `build/` and `wrk` (Debian's package). Stream W is Zipf over 20,000 terms, warm:
every cache holds them. Stream M is Zipf over 200,000 phrases with clerks' noise, with cold caches
and after 300,000 phrases. CPU covers all processes of a service's tree until its journal is in the
database; the CPU of PostgreSQL itself is a separate column.

Every turn of a contender is written to FILE as one line when it ends, so the benchmark can run in
pieces. The results are the medians of all turns in FILE; `--join` prints them without measuring.
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
from benchmarks.harness import Result, median, options, present, progress
from benchmarks.load import find_wrk
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
    parser = options("Compare Perennial's service with its peers.")
    parser.add_argument(
        "--rounds",
        type=int,
        default=3,
        help="turns of each contender; medians are reported (default 3; 1 with --quick)",
    )
    parser.add_argument(
        "--only",
        nargs="+",
        choices=KEYS,
        default=list(KEYS),
        metavar="KEY",
        help=f"only these contenders: {', '.join(KEYS)}",
    )
    parser.add_argument(
        "--keep",
        type=Path,
        metavar="FILE",
        help="write one JSON line per turn; turns already in FILE are included",
    )
    parser.add_argument(
        "--join", action="store_true", help="report the turns in FILE without measuring"
    )
    parser.add_argument(
        "--soak",
        action="store_true",
        help="run five minutes of steady load, and 32 clients for one minute, instead",
    )
    arguments = parser.parse_args()
    if not arguments.join:
        find_wrk()
    with tempfile.TemporaryDirectory(prefix="pb-") as folder:
        result = measure(Path(folder), arguments)
    present(result, title="Serving", packages=PACKAGES, arguments=arguments)


def measure(folder: Path, arguments: argparse.Namespace) -> Result:
    """Measure what the arguments select, and join it with the turns in FILE."""
    scale = QUICK if arguments.quick else FULL
    keep = arguments.keep or folder / "turns.jsonl"
    if not arguments.join:
        streams = draw_streams(scale, seed=arguments.seed)
        for figures in turns(Workshop(folder), streams, scale, arguments):
            with keep.open("a", encoding="utf-8") as file:
                file.write(json.dumps(figures) + "\n")

    lines = [json.loads(line) for line in keep.read_text(encoding="utf-8").splitlines()]
    medians = joined(lines)
    rounds = max(sum(name in line for line in lines) for name in medians)
    load = f"{scale.clients} clients, {scale.seconds:.0f} s each, {rounds} rounds"
    about = f"W 20,000 terms, M 200,000 phrases, Zipf 1.1, {load}"
    return Result(figures=dict(medians), bars=bars(medians), tables=tables(medians), input=about)


def turns(
    shop: Workshop, streams: Streams, scale: Scale, arguments: argparse.Namespace
) -> Iterator[Figures]:
    """Measure every contender once per round, each stream in new processes.

    Every second round runs in reverse order.
    """
    if arguments.soak:
        yield from soak(shop, streams, scale)
        yield clients(shop, streams, scale)
        return

    chosen = [KEYS[key] for key in arguments.only]
    progress("building what the contenders load")
    shop.prepare(chosen)

    rounds = 1 if arguments.quick else arguments.rounds
    for number in range(rounds):
        for contender in chosen if number % 2 == 0 else reversed(chosen):
            progress(f"round {number + 1} of {rounds}: {contender.name}")
            yield from turn(shop, contender, streams, scale)

    if arguments.quick and PERENNIAL in chosen:
        yield clients(shop, streams, scale)


def turn(shop: Workshop, contender: Contender, streams: Streams, scale: Scale) -> Iterator[Figures]:
    """Measure one contender on W, then on M."""
    yield turn_w(shop, contender, streams, scale)
    if contender in ON_M:
        yield turn_m(shop, contender, streams, scale)


def joined(lines: Sequence[Figures]) -> dict[str, dict[str, float]]:
    """Return the medians over the turns, with the contenders in their order."""
    turns_by_name: dict[str, list[dict[str, float]]] = defaultdict(list)
    for line in lines:
        for name, facts in line.items():
            turns_by_name[name].append(facts)
    names = sorted(turns_by_name, key=_rank)
    return {name: _medians(turns_by_name[name]) for name in names}


def _rank(name: str) -> int:
    """The place of the contender of a figure; what belongs to no contender comes last."""
    for rank, contender in enumerate(KEYS.values()):
        if name.startswith(f"{contender.name} on"):
            return rank
    return len(KEYS)


def _medians(turns: Sequence[dict[str, float]]) -> dict[str, float]:
    return {key: median(turn[key] for turn in turns) for key in turns[0]}


if __name__ == "__main__":
    main()
