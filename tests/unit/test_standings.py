"""Which classifiers `perennial status` and the overview show."""

from __future__ import annotations

from datetime import UTC, datetime

from core.contracts import RETIRED, Deployment, ModelVersion, Rollout
from machine.standings import champions_of

SINCE = datetime(2026, 1, 1, tzinfo=UTC)


def test_a_retired_classifier_is_shown_only_while_it_has_a_block() -> None:
    model = ModelVersion("area", "3", "models/area/3", "digest", "words-1")
    champion = Deployment(model, "champion", 1.0, SINCE, "first")
    rollouts = {"area": Rollout(champion), "gone": RETIRED, "again": RETIRED}
    assert champions_of(["again", "new"], rollouts) == {
        "again": None,
        "new": None,
        "area": champion,
    }
