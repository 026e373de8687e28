"""Presents the drift benchmark: bars, figures and tables from the outcomes of its scenarios."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from benchmarks.drift_outcomes import Outcomes, percent, share
from benchmarks.drift_trials import (
    CALM,
    CLASSIFIERS,
    FALSE_ALARMS,
    HALF,
    LARGE_WINDOW,
    RARE,
    SIZES,
    UNSEEN,
    WINDOWS,
)
from benchmarks.harness import Bar, table
from monitoring.drift.power import Power
from monitoring.windows.statistics import STATISTICS

REPORT_ROWS = 100_000
Row = tuple[int, str, Outcomes]  # window size, scenario, outcomes


def bars_of(
    by_size: Mapping[int, Mapping[str, Outcomes]], report: Mapping[str, float]
) -> list[Bar]:
    """The bars, for windows of 2,000; a detection is drift called by the second window."""
    outcomes = by_size[LARGE_WINDOW]
    false_calls = [
        Bar(
            f"drift called without drift per year, {classifiers} classifiers, windows of {size}",
            by_size[size][CALM].calls_per_year(classifiers),
            FALSE_ALARMS,
        )
        for size in SIZES
        for classifiers in CLASSIFIERS
    ]
    return [
        *false_calls,
        Bar("single false alarms, % of windows", percent(outcomes[CALM].single), 5.0),
        Bar("drift called without drift, % of windows", percent(outcomes[CALM].called), 1.0),
        Bar(f"detection, {RARE}, %", percent(outcomes[RARE].by(2)), 95.0, at_least=True),
        Bar(f"detection, {HALF}, %", percent(outcomes[HALF].by(2)), 95.0, at_least=True),
        Bar(f"detection, {UNSEEN}, %", percent(outcomes[UNSEEN].by(2)), 85.0, at_least=True),
        Bar(f"report on {REPORT_ROWS:,} answers, wall seconds", report["wall"], 30.0),
        Bar(f"report on {REPORT_ROWS:,} answers, CPU seconds", report["cpu"], 30.0),
    ]


def figures_of(outcomes: Mapping[int, Mapping[str, Outcomes]]) -> dict[str, Any]:
    """Per window size and scenario: hits and trials of every share in the tables."""
    return {
        str(size): {name: _figures(row) for name, row in rows.items()}
        for size, rows in outcomes.items()
    }


def _figures(row: Outcomes) -> dict[str, Any]:
    return {
        "single": row.single,
        "called": row.called,
        **{f"called_with_{number}": row.called_with(number) for number in CLASSIFIERS},
        **{f"by_window_{number}": row.by(number) for number in range(2, WINDOWS + 1)},
        "statistics": {statistic: row.of(statistic) for statistic in STATISTICS},
        "evidently": row.of_evidently(),
    }


def tables_of(
    outcomes: Mapping[int, Mapping[str, Outcomes]],
    report: Mapping[str, float],
    powers: Sequence[tuple[int, int, Power]],
) -> list[str]:
    """One table per question."""
    rows = [(size, name, row) for size, named in outcomes.items() for name, row in named.items()]
    return [
        _calm_table([row for row in rows if not row[2].drifted]),
        _drifted_table([row for row in rows if row[2].drifted]),
        _budget_table(rows),
        _power_table(powers),
        table(
            ("window", "traffic", *STATISTICS),
            [(size, name, *_alarm_shares(row)) for size, name, row in rows],
        ),
        _rival_table([row for row in rows if row[2].evidently]),
        f"A report on {REPORT_ROWS:,} answers: {report['wall']} s, {report['cpu']} CPU-seconds.",
    ]


def _calm_table(rows: list[Row]) -> str:
    return table(
        ("window", "traffic", "windows alarmed", "called drift"),
        [(size, name, share(row.single), share(row.called)) for size, name, row in rows],
    )


def _drifted_table(rows: list[Row]) -> str:
    numbers = range(2, WINDOWS + 1)
    titles = [f"drift called by window {number}" for number in numbers]
    return table(
        ("window", "traffic", "windows alarmed", *titles),
        [
            (size, name, share(row.single), *(share(row.by(number)) for number in numbers))
            for size, name, row in rows
        ],
    )


def _budget_table(rows: list[Row]) -> str:
    """Pairs of windows that call drift, where so many classifiers share the budget."""
    return table(
        ("window", "traffic", "pairs", *(f"{number} classifiers" for number in CLASSIFIERS)),
        [
            (
                size,
                name,
                row.called_with(CLASSIFIERS[0])[1],
                *(share(row.called_with(number)) for number in CLASSIFIERS),
            )
            for size, name, row in rows
            if row.called_with(CLASSIFIERS[0])[1]
        ],
    )


def _power_table(powers: Sequence[tuple[int, int, Power]]) -> str:
    """What the budget costs: how soon a tenth moved to rare labels is called."""
    return table(
        ("window", "classifiers", "level", "chance per pair", "days until called"),
        [
            (
                size,
                classifiers,
                f"{power.alarm:.1f}",
                f"{100 * power.chance:.0f} %",
                "not called" if power.days is None else f"{power.days:.0f}",
            )
            for size, classifiers, power in powers
        ],
    )


def _rival_table(rows: list[Row]) -> str:
    return table(
        ("window", "traffic", "this rule", "Evidently, label", "Evidently, probability"),
        [
            (size, name, share(row.single), *map(share, row.of_evidently().values()))
            for size, name, row in rows
        ],
    )


def _alarm_shares(row: Outcomes) -> Iterator[str]:
    for statistic in STATISTICS:
        hits, trials = row.of(statistic)
        yield f"{100 * hits / trials:.0f} %"
