"""The gain in the F1 that a classifier favours beside the traffic: `favour: macro | tail`."""

from __future__ import annotations

from typing import Any

from pipelines.gate.hypotheses import Comparison, overall_differences
from pipelines.gate.scores import Favoured, favoured_f1
from pipelines.gate.sign_flips import gain_p_value


def measure_favoured(answers: Comparison, favour: Favoured, *, seed: int) -> dict[str, Any]:
    """Return the evidence `favoured`; nothing for a classifier that follows the traffic."""
    if favour == "weighted":
        return {}
    scores = {
        name: round(favoured_f1(answers.truth, given, answers.weights, favour), 5)
        for name, given in (("candidate", answers.candidate), ("champion", answers.champion))
    }
    gain_p = round(gain_p_value(overall_differences(answers, favour), seed=seed), 5)
    return {"favoured": {"favour": favour, **scores, "gain_p": gain_p}}
