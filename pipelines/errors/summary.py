"""An error report in about ten lines, for the command and the pages of a run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

Report = Mapping[str, Any]


def summary_lines(report: Report) -> list[str]:
    """Return the report in whole sentences, the most important first."""
    if "not_measured" in report:
        return [f"Errors were not measured: {report['not_measured']}."]
    return [
        _mistakes(report),
        *_champion(report["champion"]),
        *_confused(report),
        *_worst(report),
        *_patterns(report["patterns"]),
        *curve_sentences(report["curve"]),
        gap_sentence(report["gap"]),
    ]


def _mistakes(report: Report) -> str:
    if not report["mistakes"]:
        return f"No mistake on {report['rows']:,} test rows of {report['phrases']:,} phrases."
    return (
        f"{report['mistakes']:,} of {report['rows']:,} test rows are answered wrong "
        f"({report['mistakes'] / report['rows']:.1%}), of {report['phrases']:,} phrases."
    )


def _champion(champion: Report | None) -> Iterator[str]:
    if champion is not None:
        yield (
            f"Since the champion, version {champion['version']}: "
            f"{champion['newly_right']:,} rows are newly right, "
            f"{champion['newly_wrong']:,} newly wrong."
        )


def _confused(report: Report) -> Iterator[str]:
    if report["confused"]:
        pairs = [
            f"{pair['label']} answered as {pair['predicted']} ({pair['rows']})"
            for pair in report["confused"][:3]
        ]
        yield f"Most confused: {', '.join(pairs)}."


def _worst(report: Report) -> Iterator[str]:
    by_name = {row["label"]: row for row in report["labels"]}
    worst = [by_name[name] for name in report["worst"][:3]]
    if worst:
        costs = [f"{row['label']} ({row['lost']:.1f})" for row in worst]
        yield f"Wrong of a thousand answers, by label: {', '.join(costs)}."


def _patterns(patterns: Report) -> Iterator[str]:
    proved = patterns["found"]
    if not proved:
        yield f"No pattern among {patterns['tested']:,} slices."
        return
    count = "1 pattern" if len(proved) == 1 else f"{len(proved)} patterns"
    yield f"{count} among {patterns['tested']:,} slices; the strongest:"
    for pattern in proved[:2]:
        yield f"  {pattern_sentence(pattern)}"


def pattern_sentence(pattern: Report) -> str:
    """Return what a pattern says, in one sentence."""
    return (
        f"{slice_name(pattern)}: {pattern['mistaken']} of {pattern['phrases']} "
        f"{_population(pattern['among'])} wrong ({pattern['share']:.0%}), "
        f"elsewhere {pattern['elsewhere']:.1%}{_also(pattern['also'])}."
    )


def slice_name(part: Report) -> str:
    """Return the name of a slice with its kind: word "sequela"."""
    return f'{part["kind"]} "{part["name"]}"'


def _population(among: str) -> str:
    return "new phrases" if among == "new phrases" else "phrases"


def _also(others: Sequence[Report]) -> str:
    return f" (the same mistakes: {', '.join(map(slice_name, others))})" if others else ""


def curve_sentences(curve: Report) -> Iterator[str]:
    """Say what more rows would bring, or why that was not measured."""
    if curve["reason"]:
        yield f"No learning curve: {curve['reason']}."
        return
    kind = f", as a {curve['head']} head learns" if curve["substitute"] else ""
    for gain in curve["gains"]:
        new, low, high = (100 * value for value in gain["new"])
        answers = 100 * gain["answers"][0]
        yield (
            f"{gain['factor'] - 1:.0%} more rows: {new:+.1f} points on new phrases "
            f"({low:+.1f} to {high:+.1f}), {answers:+.2f} on all answers{kind}."
        )


def gap_sentence(gap: Report) -> str:
    """Say how the parts were answered, and whether a fall exceeds its limit."""
    measured = [part for part in gap["parts"] if part["right"] is not None]
    parts = ", ".join(f"{part['part']} {part['right']:.1%}" for part in measured)
    if len(measured) < 2:
        return f"Gap not measured: too few new phrases ({parts} right)."
    if not gap["exceeded"]:
        return f"Phrases answered right: {parts}; every fall within {gap['limit']:.0%}."
    falls = [
        f"{fall['fall']:.1%} from {fall['from']} to {fall['to']}"
        for fall in gap["falls"]
        if fall["exceeded"]
    ]
    return f"GAP BEYOND ITS LIMIT of {gap['limit']:.0%}: {', '.join(falls)}. Right: {parts}."
