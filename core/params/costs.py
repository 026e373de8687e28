"""The `costs` block of a classifier in params.yaml: what a wrong answer costs."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from pydantic import Field, model_validator

from core.errors import TrainingImpossible
from core.params.heads import StrictBlock

DEAREST = 1e9
"""Costs are compared with each other; larger numbers lose digits."""


class PairCost(StrictBlock):
    """The cost of one confusion: `right` was right, and `answered` was answered."""

    right: str = Field(min_length=1)
    answered: str = Field(min_length=1)
    cost: float = Field(ge=0, le=DEAREST)


class CostParams(StrictBlock):
    """What a wrong answer costs, in a unit of the owner's choice; a right one costs nothing.

    The cost of a pair counts before that of its right label, and that one before the default.
    """

    default: float = Field(1.0, ge=0, le=DEAREST)
    labels: dict[str, float] = Field(default_factory=dict)
    """Right label -> the cost of answering another one."""

    pairs: list[PairCost] = Field(default_factory=list)

    @model_validator(mode="after")
    def _possible(self) -> CostParams:
        for label, cost in self.labels.items():
            if not 0 <= cost <= DEAREST:
                raise ValueError(f"the cost of {label} must be in [0, {DEAREST:g}], not {cost:g}")
        seen: set[tuple[str, str]] = set()
        for pair in self.pairs:
            if pair.right == pair.answered:
                raise ValueError(f"a pair of two labels, not {pair.right} twice: it is no mistake")
            if (pair.right, pair.answered) in seen:
                raise ValueError(f"one cost for {pair.answered} instead of {pair.right}, not two")
            seen.add((pair.right, pair.answered))
        return self

    def of(self, right: str, answered: str) -> float:
        """Return the cost of one answer."""
        if right == answered:
            return 0.0
        for pair in self.pairs:
            if (pair.right, pair.answered) == (right, answered):
                return pair.cost
        return self.labels.get(right, self.default)

    def named(self) -> Iterator[str]:
        """Yield every label that the block names."""
        yield from self.labels
        for pair in self.pairs:
            yield pair.right
            yield pair.answered


def refuse_unknown_labels(costs: CostParams, labels: Collection[str]) -> None:
    """Raise `TrainingImpossible` for a cost of a label that the snapshot does not have."""
    unknown = sorted(set(costs.named()) - set(labels))
    if unknown:
        more = f" and {len(unknown) - 5} more" if len(unknown) > 5 else ""
        raise TrainingImpossible(
            "`costs` of labels that the snapshot has",
            came=", ".join(unknown[:5]) + more,
            do="correct the labels under `costs` in params.yaml, or widen history_days",
        )
