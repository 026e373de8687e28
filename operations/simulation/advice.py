"""What the figures of a simulation say about params.yaml, in sentences. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from core.params.schema import ClassifierParams
from operations.setup.likely_power import likely_power

if TYPE_CHECKING:
    from operations.simulation.own_snapshot import Question

DEFAULT = "default"
NEVER = "never"
NOTEWORTHY = 0.005
"""Half a point of weighted F1; less is not worth a change of settings."""


def advise(
    figures: Mapping[str, Any], *, block: ClassifierParams, question: Question, answers_a_day: float
) -> list[str]:
    """Return what to set, the most important first."""
    sentences = [
        _worth(figures),
        _power(block, answers_a_day),
        _false_calls(figures),
        _lost_events(figures, question),
    ]
    return [sentence for sentence in sentences if sentence]


def _score(figures: Mapping[str, Any], policy: str) -> float:
    return float(figures[policy]["weighted_f1"][0])


def _worth(figures: Mapping[str, Any]) -> str:
    """Which policy answers best, and by how much."""
    rivals = [policy for policy in figures if policy != "bound"]  # nobody has its labels
    if not rivals:
        return ""
    best = max(rivals, key=lambda policy: _score(figures, policy))
    own = DEFAULT if DEFAULT in rivals else best
    if _score(figures, best) - _score(figures, own) >= NOTEWORTHY:
        gain = _score(figures, best) - _score(figures, own)
        return f"`{best}` answers better than `{own}` by {gain:.3f} of weighted F1: look why"
    if NEVER not in figures or own == NEVER:
        return f"`{own}` answers with a weighted F1 of {_score(figures, own):.3f}"
    gain = _score(figures, own) - _score(figures, NEVER)
    if gain < NOTEWORTHY:
        return (
            f"retraining gains {gain:+.3f} of weighted F1 over never: a rarer `schedule` "
            "costs little"
        )
    return f"switch it on: `{own}` gains {gain:.3f} of weighted F1 over a model that stays"


def _power(block: ClassifierParams, answers_a_day: float) -> str:
    """How soon drift is called at this traffic, and the `window_days` for it."""
    days = block.drift.window_days
    sentence = likely_power(answers_a_day, window_days=days)
    return sentence.replace(", as many as rows came", "")


def _false_calls(figures: Mapping[str, Any]) -> str:
    calls = figures[DEFAULT]["drift"]["without_event"] if DEFAULT in figures else 0
    if not calls:
        return ""
    return f"drift was called {calls} times without an event: lower `max_false_alarms`"


def _lost_events(figures: Mapping[str, Any], question: Question) -> str:
    events = figures[DEFAULT]["events"] if DEFAULT in figures else []
    lost = [event["kind"] for event in events if event["loss"] and event["days"] is None]
    if not lost:
        return ""
    return (
        f"not won back within {question.days} days: {', '.join(lost)}; more than "
        f"{question.labels_a_week} labels a week shorten that"
    )
