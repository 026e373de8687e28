"""What the gate sees: the test rows as several versions answered them, and what is known of each
row.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from pipelines.gate.drifted import DriftRows


@dataclass(frozen=True)
class GateRows:
    """The test rows. Every array has one entry per row, in any order.

    Parameters
    ----------
    truth, candidate : str (n,)
        The final label; the answer of the candidate's judged head.
    phrases : int (n,)
        Codes of the cleaned phrases: the clusters of every statistic.
    champion : str (n,) or None
        The champion's answers; None before the first promotion.
    floor : str
        The most frequent label of the training rows.
    weights : float (n,), above 0
        How many rows of the recent traffic the row stands for; mean 1.
    judges : bool (n,)
        False for corrections of rows that the source lacks: they were chosen because an answer was
        wrong.
    drift : DriftRows or None
        The rows since the drift that called for this retraining, of all parts of the split.
    slices : mapping of name to bool (n,)
        Parts of the traffic that may not be harmed: regions, new and known phrases, frequent and
        rare ones.
    new_rules : bool (n,) or None
        Rows of known phrases that have another label since the champion was fitted.
    champion_labels : set of str
        What the champion can answer; empty means unknown.
    champion_days : float
        Time since the champion was fitted: a rollback makes no head younger.
    proved : str (n,) or None
        Answers of the last version promoted for a proved gain, where it is another than the
        champion.
    uncovered : float in [0, 1]
        Share of the recent traffic that no test phrase can stand for.
    same_head : bool
        The candidate's served head is the champion's, byte for byte.
    """

    truth: np.ndarray
    phrases: np.ndarray
    candidate: np.ndarray
    champion: np.ndarray | None
    floor: str
    weights: np.ndarray
    judges: np.ndarray
    drift: DriftRows | None = None
    slices: dict[str, np.ndarray] = field(default_factory=dict)
    new_rules: np.ndarray | None = None
    champion_labels: frozenset[str] = frozenset()
    champion_days: float = 0.0
    proved: np.ndarray | None = None
    uncovered: float = 0.0
    same_head: bool = False

    def only(self, chosen: np.ndarray) -> GateRows:
        """The rows of a mask."""
        return replace(
            self,
            truth=self.truth[chosen],
            phrases=self.phrases[chosen],
            candidate=self.candidate[chosen],
            champion=_only(self.champion, chosen),
            weights=self.weights[chosen],
            judges=self.judges[chosen],
            new_rules=_only(self.new_rules, chosen),
            slices={name: mask[chosen] for name, mask in self.slices.items()},
            proved=_only(self.proved, chosen),
        )


def _only(values: np.ndarray | None, chosen: np.ndarray) -> np.ndarray | None:
    return None if values is None else values[chosen]
