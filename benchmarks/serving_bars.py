"""Presents `benchmarks.serving`: bars and tables. A missing figure was not measured."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

from benchmarks.contenders import (
    BARE,
    BARE_LITERT,
    CACHED,
    CONSTANT,
    DEPENDS,
    MLFLOW,
    MLFLOW_CACHED,
    NO_LOG,
    NO_SYNC,
    PERENNIAL,
)
from benchmarks.harness import Bar, table
from benchmarks.serving_turns import CLIENTS_NAME, SOAK_NAME

Figures = Mapping[str, Mapping[str, float]]
Value = TypeVar("Value")
OURS = f"{PERENNIAL.name} on W"
COLUMNS = (
    "rps",
    "p50_ms",
    "p99_ms",
    "cpu_ms",
    "loop_cpu_ms",
    "database_cpu_ms",
    "errors",
    "hit_rate",
    "busy",
)
HEADS = (
    "service and stream",
    "rps",
    "p50 ms",
    "p99 ms",
    "CPU ms",
    "of it loops",
    "PostgreSQL's",
    "errors",
    "hit rate",
    "wrk, cores",
)
EMBEDDING = (BARE.name, BARE_LITERT.name)
STATES = ("cold", "warm")
RATES = ((MLFLOW, 10), (MLFLOW_CACHED, 2.5), (DEPENDS, 4), (CACHED, 0.8), (CONSTANT, 0.3))


def bars(figures: Figures) -> list[Bar]:
    """Return a bar for every figure with a target."""
    return [*_cpu_bars(figures), *_rate_bars(figures), *_log_bars(figures), *_soak_bars(figures)]


def predicted(figures: Figures, *, peer: str, state: str) -> tuple[float, float, float, float]:
    """Return h, r, the predicted speed-up 1/((1-h)+h r) and the measured one, on M.

    They are about CPU per request; r is the cost of a hit over the cost of a request to the peer.
    """
    ours = figures[f"{PERENNIAL.name} on M, {state}"]
    theirs = figures[f"{peer} on M, cold"]["cpu_ms"]
    h = ours["hit_rate"]
    r = figures[OURS]["cpu_ms"] / theirs
    return h, r, 1 / ((1 - h) + h * r), theirs / ours["cpu_ms"]


def tables(figures: Figures) -> list[str]:
    """Return the measurements, the predictions for M, and ratios without a bar."""
    rows = [
        (name, *(_short(facts[key]) if key in facts else "" for key in COLUMNS))
        for name, facts in figures.items()
        if "rps" in facts
    ]
    result = [table(HEADS, rows)]

    predictions = [
        (peer, state, *map(_short, law))
        for peer in EMBEDDING
        for state in STATES
        if (law := _law(figures, peer, state))
    ]
    if predictions:
        titles = ("M, against", "caches", "h", "r", "predicted ratio", "measured ratio")
        result.append(table(titles, predictions))

    beside = [(name, _short(value)) for name, value in _beside(figures) if value is not None]
    if beside:
        result.append(table(("beside the bars", "times"), beside))
    return result


def _beside(figures: Figures) -> list[tuple[str, float | None]]:
    """Ratios to (a'), which has this service's runtime: they show the cache alone."""
    peer = BARE_LITERT.name
    return [
        (f"W, single: CPU a request of {peer} / ours", _cpu(figures, f"{peer} on W", OURS)),
        (
            f"W, batch of 64: CPU a phrase of {peer} / ours",
            _cpu(figures, f"{peer} on W in batches", f"{OURS} in batches"),
        ),
        (
            "W, single: CPU a request of ours / journal not synced",
            _cpu(figures, OURS, f"{NO_SYNC.name} on W"),
        ),
        ("W: our rps / those without a log", _rate(figures, NO_LOG.name)),
    ]


def _cpu_bars(figures: Figures) -> list[Bar]:
    peer = BARE.name
    ratios = [
        Bar(
            f"W, single: CPU a request of {peer} / ours",
            _cpu(figures, f"{peer} on W", OURS),
            20,
            at_least=True,
        ),
        Bar(
            f"W, batch of 64: CPU a phrase of {peer} / ours",
            _cpu(figures, f"{peer} on W in batches", f"{OURS} in batches"),
            40,
            at_least=True,
        ),
    ]
    return [*ratios, *(_law_bar(figures, other, state) for other in EMBEDDING for state in STATES)]


def _law(figures: Figures, peer: str, state: str) -> tuple[float, float, float, float] | None:
    return _known(lambda: predicted(figures, peer=peer, state=state))


def _law_bar(figures: Figures, peer: str, state: str) -> Bar:
    name = f"M, {state}: ratio to {peer} / predicted 1/((1-h)+h r)"
    law = _law(figures, peer, state)
    if law is None:
        return Bar(name, None, 0.8, at_least=True)
    h, r, predicted_ratio, measured_ratio = law
    ratio = measured_ratio / predicted_ratio
    return Bar(f"{name} (h {h:.3f}, r {r:.4f})", ratio, 0.8, at_least=True)


def _rate_bars(figures: Figures) -> list[Bar]:
    rates = [
        Bar(f"W: our rps / those of {peer.name}", _rate(figures, peer.name), least, at_least=True)
        for peer, least in RATES
    ]
    errors = _known(lambda: figures[CLIENTS_NAME]["errors"])
    return [*rates, Bar("32 clients for 60 s on M: errors", errors, 0)]


def _log_bars(figures: Figures) -> list[Bar]:
    def more() -> float:
        return figures[OURS]["cpu_ms"] - figures[f"{NO_LOG.name} on W"]["cpu_ms"]

    return [Bar("log, CPU ms a request (with it - without)", _known(more), 0.1)]


def _soak_bars(figures: Figures) -> list[Bar]:
    def slower() -> float:
        return figures[SOAK_NAME]["p99_last_ms"] / figures[SOAK_NAME]["p99_first_ms"]

    return [
        Bar("5 minutes of steady load: p99 of the last minute / the first", _known(slower), 1.5),
        Bar(
            "the same: MB more per 100,000 requests",
            _known(lambda: figures[SOAK_NAME]["mb_more_per_100000"]),
            5,
        ),
        Bar("the same: errors", _known(lambda: figures[SOAK_NAME]["errors"]), 0),
    ]


def _rate(figures: Figures, theirs: str) -> float | None:
    return _known(lambda: figures[OURS]["rps"] / figures[f"{theirs} on W"]["rps"])


def _cpu(figures: Figures, theirs: str, ours: str) -> float | None:
    return _known(lambda: figures[theirs]["cpu_ms"] / figures[ours]["cpu_ms"])


def _known(value: Callable[[], Value]) -> Value | None:
    try:
        return value()
    except KeyError:
        return None


def _short(value: float) -> str:
    return f"{value:.3g}" if value < 100 else f"{value:,.0f}"
