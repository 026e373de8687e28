"""Presents the drift benchmark: bars, figures and tables from the outcomes of its scenarios."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from benchmarks.drift_outcomes import Outcomes, percent, share
from benchmarks.drift_trials import CALM, HALF, RARE, UNSEEN, WINDOWS
from benchmarks.harness import Bar, table
from monitoring.statistics import STATISTICS

REPORT_ROWS = 100_000
Row = tuple[int, str, Outcomes]  # window size, scenario, outcomes


def bars_of(outcomes: Mapping[str, Outcomes], report: Mapping[str, float]) -> list[Bar]:
    """The bars, for windows of 2,000; a detection is drift called by the second window."""
    return [
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
        **{f"by_window_{number}": row.by(number) for number in range(2, WINDOWS + 1)},
        "statistics": {statistic: row.of(statistic) for statistic in STATISTICS},
        "evidently": row.of_evidently(),
    }


def tables_of(
    outcomes: Mapping[int, Mapping[str, Outcomes]], report: Mapping[str, float]
) -> list[str]:
    """One table per question."""
    rows = [(size, name, row) for size, named in outcomes.items() for name, row in named.items()]
    return [
        _calm_table([row for row in rows if not row[2].drifted]),
        _drifted_table([row for row in rows if row[2].drifted]),
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
