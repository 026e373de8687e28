"""What a version gained by learning its own answers: the states, in words and as metrics.

`pipelines/stages/self_training.py` fits it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

REPORT = "self_training.json"
"""The file beside a new head that says what joined its training, and what that was worth."""
ON = "on"
NO_PHRASES = "off: no unlabelled phrase"
ALL_UNSURE = "off: no answer is sure enough to join"
ONE_LABEL = "off: every sure answer has the same label"
LOSES = "off: the head without it is right more often"
NO_GAIN = "off: it answers the test rows no better"
SHOWN = 3
"""Labels in a sentence."""


def state_of(gain: float) -> str:
    """Return whether the version keeps what the phrases taught it."""
    if gain < 0:
        return LOSES
    return ON if gain > 0 else NO_GAIN


def self_training_metrics(report: Mapping[str, Any]) -> dict[str, float]:
    """Return the figures as flat metrics; none of a classifier that does not train itself."""
    names = ("phrases", "joined", "gain", "gain_low", "gain_high")
    flat = {f"self_training_{name}": report[name] for name in names if name in report}
    return {**flat, "self_training_on": float(report["state"] == ON)} if report else {}


def describe_self_training(report: Mapping[str, Any]) -> list[str]:
    """Return the report in sentences: the state, what joined, and the gain or loss."""
    because = f" ({report['problem']})" if report["problem"] else ""
    lines = [f"{report['state']}{because}"]
    if "joined" in report:
        lines.append(_joined_sentence(report))
    if "gain" in report:
        lines.append(gain_sentence(report))
    return lines


def _joined_sentence(report: Mapping[str, Any]) -> str:
    joined = f"{report['joined']:,} of {report['phrases']:,} unlabelled phrases joined"
    by_label = Counter(report["joined_by_label"])
    if not by_label:
        return joined
    most = ", ".join(f"{label} {count:,}" for label, count in by_label.most_common(SHOWN))
    return f"{joined}: {len(by_label)} labels, most of {most}"


def gain_sentence(report: Mapping[str, Any]) -> str:
    """Return the gain in points of accuracy with its interval."""
    gain, low, high = (100 * report[name] for name in ("gain", "gain_low", "gain_high"))
    return (
        f"{gain:+.2f} points of accuracy ({low:+.2f} to {high:+.2f}) on {report['rows']:,} test "
        "rows, with them against without"
    )
