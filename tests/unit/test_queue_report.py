"""A strategy is proposed for switching off when its labels are proved worse than random ones."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd

from monitoring.review.worth import LEAST_LABELS, LEVEL, judge_strategies

NOW = datetime(2026, 6, 1, tzinfo=UTC)


def labels(strategy: str, fixed: np.ndarray, *, weeks: float = 8) -> pd.DataFrame:
    moments = [
        NOW - timedelta(weeks=weeks) * (1 - place / len(fixed)) for place in range(len(fixed))
    ]
    return pd.DataFrame({"strategy": strategy, "fixed": fixed, "decided_at": moments})


def fixes(rate: float, count: int, random: np.random.Generator) -> np.ndarray:
    """What labels fix where so many answers are wrong; phrases are asked as Zipf says."""
    return (random.random(count) < rate) * np.minimum(random.zipf(1.6, count), 500).astype(float)


def test_a_strategy_that_fixes_nothing_is_found() -> None:
    random = np.random.default_rng(1)
    rows = pd.concat([
        labels("random", fixes(0.15, 64, random)),
        labels("novel", np.zeros(64)),
        labels("unseen", fixes(0.6, 64, random)),
    ])  # fmt: skip
    judged = judge_strategies(rows, now=NOW, seed=7)
    assert judged["novel"] <= LEVEL / 2 < judged["unseen"]
    assert judge_strategies(rows, now=NOW, seed=7) == judged


def test_equal_strategies_are_seldom_called_worse() -> None:
    """At most LEVEL of them, and three standard errors of 60 tries."""
    random = np.random.default_rng(2)
    tries = [
        judge_strategies(
            pd.concat([
                labels("random", fixes(0.2, 64, random)), labels("novel", fixes(0.2, 64, random)),
            ]),
            now=NOW,
            seed=7,
        )["novel"]
        for _ in range(60)
    ]  # fmt: skip
    assert np.mean(np.array(tries) <= LEVEL) <= LEVEL + 3 * np.sqrt(LEVEL * (1 - LEVEL) / 60)


def test_too_few_labels_and_too_short_a_time_say_nothing() -> None:
    enough = labels("random", np.ones(64))
    few = labels("novel", np.zeros(LEAST_LABELS - 1))
    recent = labels("unseen", np.zeros(64), weeks=3)
    assert judge_strategies(pd.concat([enough, few, recent]), now=NOW, seed=7) == {}
    assert judge_strategies(labels("novel", np.zeros(64)), now=NOW, seed=7) == {}
