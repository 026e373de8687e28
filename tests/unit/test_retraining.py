from datetime import UTC, datetime, timedelta

import pytest

from monitoring.retraining import decide_retraining

NOW = datetime(2026, 1, 10, tzinfo=UTC)


@pytest.mark.parametrize("reason", ["schedule", "manual", "demo", "new coding rule"])
def test_people_and_schedules_never_wait(reason: str) -> None:
    assert (
        decide_retraining(reason, last_retraining_at=NOW, now=NOW, cool_down_days=30).kind
        == "retrain"
    )


@pytest.mark.parametrize(
    ("hours", "kind"), [(0, "wait"), (23, "wait"), (24, "retrain"), (100, "retrain")]
)
def test_drift_waits_for_the_cool_down(hours: int, kind: str) -> None:
    last = NOW - timedelta(hours=hours)
    verdict = decide_retraining("drift", last_retraining_at=last, now=NOW, cool_down_days=1)
    assert verdict.kind == kind
    assert verdict.evidence["last_retraining_at"] == last.isoformat()


@pytest.mark.parametrize(
    ("days", "reason"),
    [(1, "the cool-down of one day is over"), (2.5, "the cool-down of 2.5 days is over")],
)
def test_a_verdict_counts_days_in_english(days: float, reason: str) -> None:
    last = NOW - timedelta(days=9)
    verdict = decide_retraining("drift", last_retraining_at=last, now=NOW, cool_down_days=days)
    assert verdict.reasons == (reason,)


def test_a_first_retraining_needs_no_patience() -> None:
    assert (
        decide_retraining("drift", last_retraining_at=None, now=NOW, cool_down_days=9).kind
        == "retrain"
    )


def test_no_cool_down_means_no_wait() -> None:
    assert (
        decide_retraining("drift", last_retraining_at=NOW, now=NOW, cool_down_days=0).kind
        == "retrain"
    )
