"""What people and programs see of an advice and of its trial."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from operations.sizing.advice import BUSY, Advice, Level
from operations.sizing.trial import Trial

SETTINGS = {"answers": "PERENNIAL_CACHE_ANSWERS", "embeddings": "PERENNIAL_CACHE_PHRASES"}
CURVE_SIZES = (1, 2, 5)


def advice_facts(advice: Advice, trial: Trial | None) -> dict[str, Any]:
    """For `--json`; the curves at 1, 2, 5, 10, ... entries."""
    return {
        "rows": advice.rows,
        "levels": [_level(advice.answers), _level(advice.embeddings)],
        "hit_rate": advice.hit_rate,
        "hit_rate_now": advice.hit_rate_now,
        "costs": asdict(advice.costs) | {"relative": advice.costs.relative}
        if advice.costs
        else None,
        "speed_up": advice.speed_up,
        "rate": advice.rate,
        "peak": advice.peak,
        "workers": advice.workers,
        "threads": advice.threads,
        "check": asdict(trial) if trial else None,
    }


def advice_rows(advice: Advice, trial: Trial | None) -> list[tuple[str, str]]:
    """Names and what they hold, for the screen."""
    rows = [
        (
            "read",
            f"{advice.rows:,} answers, {advice.rows - int(advice.answers.curve[-1]):,} of them for the first time",
        )
    ]
    rows += [
        (SETTINGS[level.name], _size_row(level)) for level in (advice.answers, advice.embeddings)
    ]
    rows.append(
        (
            "hit rate",
            f"{advice.hit_rate:.1%} of the answers need no embedding computed; with the sizes of today {advice.hit_rate_now:.1%}",
        )
    )
    if advice.costs is None:
        rows.append(
            (
                "speed-up",
                "unknown: too few hits and misses in the log to tell their costs; --check measures them",
            )
        )
    else:
        hit, miss = advice.costs.hit_ms, advice.costs.miss_ms
        formula = (
            f"1 / ((1 - h) + h r), r = {hit:.2f} ms / {miss:.2f} ms = {advice.costs.relative:.3f}"
        )
        rows.append(
            ("speed-up", f"{advice.speed_up:.1f} times less work than without caches: {formula}")
        )
        busy = f"busy at most {BUSY:.0%} of the time at {advice.peak:g} a second ({advice.rate:g} in the mean)"
        rows.append(("workers", f"{advice.workers}: services of one worker each, {busy}"))
        rows.append(
            (
                "threads",
                f"{advice.threads} computing at once; an embedder has one and batches what waits: more of them are more services",
            )
        )
    return rows + (_trial_rows(trial) if trial else [])


def _trial_rows(trial: Trial) -> list[tuple[str, str]]:
    return [
        (
            "tried",
            f"{trial.requests:,} answers of {trial.classifier}, from empty caches; {trial.errors} errors",
        ),
        ("tried: hit rate", f"{trial.hit_rate:.1%}, predicted {trial.predicted_hit_rate:.1%}"),
        ("tried: speed-up", f"{trial.speed_up:.2f}, predicted {trial.predicted_speed_up:.2f}"),
    ]


def _size_row(level: Level) -> str:
    advised = f"{level.size:,} entries hit {level.rate(level.size):.1%} of {level.asked:,} lookups"
    today = f"today {level.size_now:,}: {level.rate(level.size_now):.1%}"
    return f"{advised}; {today}; from {level.largest:,} on no more: {level.rate(level.largest):.1%}"


def _level(level: Level) -> dict[str, Any]:
    sizes = [
        step * 10**power
        for power in range(9)
        for step in CURVE_SIZES
        if step * 10**power < level.largest
    ]
    curve = [{"size": size, "hit_rate": level.rate(size)} for size in [*sizes, level.largest]]
    told = {
        "name": level.name,
        "setting": SETTINGS[level.name],
        "lookups": level.asked,
        "size": level.size,
        "size_now": level.size_now,
    }
    return {
        **told,
        "hit_rate": level.rate(level.size),
        "hit_rate_now": level.rate(level.size_now),
        "curve": curve,
    }
