"""Presents an advice and its trial: rows for people, facts for `--json`."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from operations.sizing.advice import BUSY, Advice, Costs, Level
from operations.sizing.trial import SizingTrial

Rows = list[tuple[str, str]]
SETTINGS = {"answers": "PERENNIAL_CACHE_ANSWERS", "embeddings": "PERENNIAL_CACHE_PHRASES"}
CURVE_SIZES = (1, 2, 5)


def advice_facts(advice: Advice, trial: SizingTrial | None) -> dict[str, Any]:
    """Return what `--json` prints; the curves are given at 1, 2, 5, 10, ... entries."""
    costs = advice.costs
    return {
        "rows": advice.rows,
        "levels": [_level(advice.answers), _level(advice.embeddings)],
        "hit_rate": advice.hit_rate,
        "hit_rate_now": advice.hit_rate_now,
        "costs": asdict(costs) | {"relative": costs.relative} if costs else None,
        "speed_up": advice.speed_up,
        "rate": advice.rate,
        "peak": advice.peak,
        "workers": advice.workers,
        "threads": advice.threads,
        "check": asdict(trial) if trial else None,
    }


def advice_rows(advice: Advice, trial: SizingTrial | None) -> Rows:
    """Return names and sentences for the screen."""
    distinct = advice.rows - int(advice.answers.curve[-1])
    rows = [("read", f"{advice.rows:,} answers, {distinct:,} of them for the first time")]
    for level in (advice.answers, advice.embeddings):
        rows.append((SETTINGS[level.name], _size_text(level)))

    rate = f"{advice.hit_rate:.1%} of the answers need no new embedding"
    rows.append(("hit rate", f"{rate}; with today's sizes {advice.hit_rate_now:.1%}"))
    if advice.costs is None:
        unknown = "unknown: the log has too few hits and misses to compare their costs"
        rows.append(("speed-up", f"{unknown}; --check measures them"))
    else:
        rows += _service_rows(advice, advice.costs)
    return rows + (_trial_rows(trial) if trial else [])


def _service_rows(advice: Advice, costs: Costs) -> Rows:
    ratio = f"r = {costs.hit_ms:.2f} ms / {costs.miss_ms:.2f} ms = {costs.relative:.3f}"
    speed_up = f"{advice.speed_up:.1f} times less work than without caches"
    busy = f"busy at most {BUSY:.0%} of the time at {advice.peak:g} requests per second"
    return [
        ("speed-up", f"{speed_up}: 1 / ((1 - h) + h r), {ratio}"),
        (
            "workers",
            f"{advice.workers} services of one worker each, {busy} (mean: {advice.rate:g})",
        ),
        (
            "threads",
            f"{advice.threads} computing at once. An embedder has one thread and batches what"
            " waits; for more threads, run more services",
        ),
    ]


def _trial_rows(trial: SizingTrial) -> Rows:
    played = f"{trial.requests:,} answers of {trial.classifier}, from empty caches"
    return [
        ("tried", f"{played}; {trial.errors} errors"),
        ("tried: hit rate", f"{trial.hit_rate:.1%}, predicted {trial.predicted_hit_rate:.1%}"),
        ("tried: speed-up", f"{trial.speed_up:.2f}, predicted {trial.predicted_speed_up:.2f}"),
    ]


def _size_text(level: Level) -> str:
    hits = f"{level.rate(level.size):.1%} of {level.lookups:,} lookups"
    today = f"today {level.size_now:,}: {level.rate(level.size_now):.1%}"
    best = f"no more than {level.rate(level.largest):.1%} from {level.largest:,} on"
    return f"{level.size:,} entries hit {hits}; {today}; {best}"


def _level(level: Level) -> dict[str, Any]:
    steps = [step * 10**power for power in range(9) for step in CURVE_SIZES]
    sizes = [size for size in steps if size < level.largest]
    curve = [{"size": size, "hit_rate": level.rate(size)} for size in [*sizes, level.largest]]
    return {
        "name": level.name,
        "setting": SETTINGS[level.name],
        "lookups": level.lookups,
        "size": level.size,
        "size_now": level.size_now,
        "hit_rate": level.rate(level.size),
        "hit_rate_now": level.rate(level.size_now),
        "curve": curve,
    }
