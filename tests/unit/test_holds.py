"""Promotions that wait for a person, and what is said of drift before a version answers."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pandas as pd
import pytest

from core.contracts import Verdict
from core.params.drift import DriftParams
from core.params.gate import GateParams
from monitoring.drift.outlook import drift_outlook, with_outlook
from pipelines.gate.holds import gone_labels, hold_by_hand, hold_gone_labels

PROMOTE = Verdict("promote", ("better",), {"gain": 0.1})
BEFORE = [f"label {number}" for number in range(10)]
COUNTS = {**dict.fromkeys(BEFORE[1:], 894), "label 0": 954}
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def test_a_label_that_a_tenth_of_the_rows_had_waits_for_a_person() -> None:
    gone = gone_labels(BEFORE, BEFORE[1:], counts=COUNTS)
    verdict = hold_gone_labels(PROMOTE, gone)
    assert verdict.kind == "hold"
    assert "label 0 would no longer be answered" in verdict.reasons[0]
    assert "10.6 % of the rows that the champion learnt from" in verdict.reasons[0]
    assert verdict.reasons[1:] == PROMOTE.reasons
    assert verdict.evidence == {"gain": 0.1, "gone_labels": {"label 0": 0.106}}


def test_a_rare_label_that_is_gone_is_named_and_stops_nothing() -> None:
    gone = gone_labels(BEFORE, BEFORE[1:], counts={**COUNTS, "label 0": 10})
    verdict = hold_gone_labels(PROMOTE, gone)
    assert verdict.kind == "promote" and verdict.reasons[0] == "better"
    assert "label 0 would no longer be answered" in verdict.reasons[-1]


def test_several_rare_labels_add_up() -> None:
    counts = {**COUNTS, "label 0": 300, "label 1": 300}
    gone = gone_labels(BEFORE, BEFORE[2:], counts=counts)
    assert list(gone) == ["label 0", "label 1"]
    assert hold_gone_labels(PROMOTE, gone).kind == "hold"


def test_a_gone_label_is_named_whatever_the_verdict_is() -> None:
    gone = gone_labels(BEFORE, BEFORE[1:], counts=COUNTS)
    kept = hold_gone_labels(Verdict("keep", ("equal",)), gone)
    assert kept.kind == "keep" and "label 0" in kept.reasons[-1]


def test_nothing_is_said_when_no_label_is_gone() -> None:
    gone = gone_labels(BEFORE, [*BEFORE, "new"], counts=COUNTS)
    assert hold_gone_labels(PROMOTE, gone) == PROMOTE


@pytest.mark.parametrize(
    ("kind", "promote", "becomes"),
    [
        ("promote", "by_hand", "hold"),
        ("promote", "automatic", "promote"),
        ("keep", "by_hand", "keep"),
        ("reject", "by_hand", "reject"),
    ],
)
def test_by_hand_holds_a_promotion_and_nothing_else(kind: str, promote: str, becomes: str) -> None:
    policy = GateParams.model_validate({"promote": promote})
    verdict = hold_by_hand(Verdict(kind, ("because",)), policy)
    assert verdict.kind == becomes and verdict.reasons[-1] == "because"


def reference(rows: int, *, days: int, weight: float = 1.0) -> pd.DataFrame:
    moments = [NOW + timedelta(days=number % days) for number in range(rows)]
    return pd.DataFrame({"occurred_at": pd.to_datetime(moments, utc=True), "weight": weight})


@pytest.mark.parametrize(
    ("rows", "days", "lack"),
    [
        (599, 30, "599 rows to compare with; 6 windows of 100 are needed"),
        (600, 30, None),
        (600, 7, "7 days to compare with; 8 are needed"),
        (0, 1, "0 rows to compare with"),
    ],
)
def test_too_few_rows_for_drift_are_reported_with_the_cure(
    rows: int, days: int, lack: str | None
) -> None:
    outlook = drift_outlook(reference(rows, days=days), drift=DriftParams(), began=None)
    if lack is None:
        assert outlook is None
    else:
        assert outlook is not None and lack in outlook and "raise test_days" in outlook


def test_rows_before_the_drift_that_was_learnt_do_not_count() -> None:
    began = NOW + timedelta(days=29)
    outlook = drift_outlook(reference(3000, days=30), drift=DriftParams(), began=began)
    assert outlook is not None and "100 rows to compare with" in outlook


def test_the_outlook_is_said_of_what_may_answer() -> None:
    assert with_outlook(PROMOTE, "few rows").reasons == ("better", "few rows")
    assert with_outlook(Verdict("keep"), "few rows") == Verdict("keep")
    assert with_outlook(PROMOTE, None) == PROMOTE
