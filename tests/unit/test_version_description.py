"""What the gate said fits into the description of a version, however much it was."""

from __future__ import annotations

from pipelines.registry import LONGEST_WHY, WHO_DECIDES, shortened

MLFLOW_STORES = 5_000


def test_many_reasons_are_shortened_so_that_mlflow_takes_them() -> None:
    reasons = [f"evaluation bias, region number {place}: beyond its limit" for place in range(200)]
    why = shortened(f"hold: {'; '.join(reasons)}")
    assert why.startswith("hold: evaluation bias") and why.endswith("…")
    assert len(why) == LONGEST_WHY
    assert len(f"{why}\n\n{WHO_DECIDES}") <= MLFLOW_STORES


def test_few_reasons_stay_as_they_are() -> None:
    assert shortened("promote: it is better") == "promote: it is better"
