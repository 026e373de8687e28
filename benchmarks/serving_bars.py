"""What was asked of `benchmarks.serving`, from its figures: ratios to the peers, and the tables."""

from __future__ import annotations

from collections.abc import Mapping

from benchmarks.contenders import BARE, BARE_LITERT, CACHED, CONSTANT, DEPENDS, MLFLOW, MLFLOW_CACHED, NO_LOG, NO_SYNC, PERENNIAL
from benchmarks.harness import Bar, table

Figures = Mapping[str, Mapping[str, float]]
OURS = f"{PERENNIAL.name} on W"
COLUMNS = ("rps", "p50_ms", "p99_ms", "cpu_ms", "database_cpu_ms", "errors", "hit_rate")


def bars(figures: Figures) -> list[Bar]:
    """One for every figure that was asked for."""
    return [*_cpu_bars(figures), *_rate_bars(figures), *_log_bars(figures)]


def predicted(figures: Figures, *, peer: str, state: str) -> tuple[float, float, float, float]:
    """h, r, the speed-up 1/((1-h)+h r) and the one measured, of CPU a request on M; r: a hit against the peer's request."""
    ours, theirs = figures[f"{PERENNIAL.name} on M, {state}"], figures[f"{peer} on M, cold"]["cpu_ms"]
    h, r = ours["hit_rate"], figures[OURS]["cpu_ms"] / theirs
    return h, r, 1 / ((1 - h) + h * r), theirs / ours["cpu_ms"]


def tables(figures: Figures) -> list[str]:
    """What was measured, and what the law of the cache says about M."""
    rows = [(name, *(_short(one[key]) if key in one else "" for key in COLUMNS)) for name, one in figures.items()]
    law = [
        (peer, state, *map(_short, predicted(figures, peer=peer, state=state)))
        for peer in (BARE.name, BARE_LITERT.name)
        for state in ("cold", "warm")
    ]
    heads = ("service and stream", "rps", "p50 ms", "p99 ms", "CPU ms", "PostgreSQL's", "errors", "hit rate")
    return [table(heads, rows), table(("M, against", "caches", "h", "r", "predicted ratio", "measured ratio"), law)]


def _cpu_bars(figures: Figures) -> list[Bar]:
    found = []
    for peer in (BARE.name, BARE_LITERT.name):
        one, many = _cpu(figures, f"{peer} on W", OURS), _cpu(figures, f"{peer} on W in batches", f"{OURS} in batches")
        found += [
            Bar(f"W, single: CPU a request of {peer} / ours", one, 20, at_least=True),
            Bar(f"W, batch of 64: CPU a phrase of {peer} / ours", many, 40, at_least=True),
        ]
        for state in ("cold", "warm"):
            h, r, said, came = predicted(figures, peer=peer, state=state)
            told = f"M, {state}: distance of the ratio to {peer} from 1/((1-h)+h r), share (h {h:.3f}, r {r:.4f})"
            found.append(Bar(told, abs(came / said - 1), 0.2))
    return found


def _rate_bars(figures: Figures) -> list[Bar]:
    asked = ((MLFLOW, 10), (MLFLOW_CACHED, 2.5), (DEPENDS, 4), (CACHED, 0.8), (CONSTANT, 0.3))
    ours = figures[OURS]["rps"]
    rates = [
        Bar(f"W: our rps / those of {one.name}", ours / figures[f"{one.name} on W"]["rps"], least, at_least=True) for one, least in asked
    ]
    return [*rates, Bar("32 clients on M: errors", figures["32 clients"]["errors"], 0)]


def _log_bars(figures: Figures) -> list[Bar]:
    bare = figures[f"{NO_LOG.name} on W"]["cpu_ms"]
    return [
        Bar("log, shipping only: CPU ms a request (with database - without)", figures[OURS]["cpu_ms"] - bare, 0.1),
        Bar("the same, journal not synced", figures[f"{NO_SYNC.name} on W"]["cpu_ms"] - bare, 0.1),
    ]


def _cpu(figures: Figures, theirs: str, ours: str) -> float:
    return figures[theirs]["cpu_ms"] / figures[ours]["cpu_ms"]


def _short(value: float) -> str:
    return f"{value:.3g}" if value < 100 else f"{value:,.0f}"
