"""Which reported windows belong to accepted traffic, and what a harmless window silences."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from core.contracts import Verdict
from monitoring.drift.calling import Called, last_call, without_repetition
from monitoring.drift.reviews import calling_window
from monitoring.windows.accepted import Acceptance, accepted_traffic, calmed
from monitoring.windows.reports import DriftReport, drift_began

NOW = datetime(2026, 3, 1, tzinfo=UTC)
KEPT = Acceptance("why", expected=False)


def report(
    number: int, z: float = 1.0, *, version: str = "1", accepted: int | None = None
) -> DriftReport:
    alarms = ("novelty_mean",) if z > 3 else ()
    statistics = {"novelty_mean": {"value": 0.1, "z": z}}
    verdict = "drift" if z > 3 else "steady"
    return DriftReport(
        version,
        number,
        NOW,
        NOW,
        None,
        500,
        statistics,
        alarms,
        verdict,
        "file",
        accepted_window=accepted,
    )


def numbers(reports: list[DriftReport], accepted: list[int], **how: list[int]) -> list[list[int]]:
    groups = accepted_traffic(reports, dict.fromkeys(accepted, KEPT), **how)
    return [[found.window_number for found in group.reports] for group in groups]


def test_the_windows_of_a_run_that_have_not_grown_are_like_the_accepted_one() -> None:
    run = [report(1), report(2, 6.0), report(3, 7.0), report(4, 8.0), report(5, 20.0), report(6)]
    assert numbers(run, [3]) == [[3, 4]]
    assert numbers(run, [2, 3]) == [[2, 3, 4]]
    assert numbers(run, [3, 5]) == [[3, 4], [5]]
    assert numbers(run, [3], others=[4]) == [[3]]
    assert numbers(run, []) == []


def test_windows_found_like_accepted_traffic_belong_to_it_until_it_is_withdrawn() -> None:
    run = [report(1, 7.0), report(2, accepted=1), report(3), report(4, accepted=1)]
    assert numbers(run, [1]) == [[1, 2, 4]]
    assert numbers(run, []) == []


def test_accepted_windows_are_steady_and_began_no_drift() -> None:
    run = [report(1), report(2, 7.0), report(3, 7.0)]
    calm = calmed(run, accepted_traffic(run, {2: KEPT}))
    assert [(row.alarms, row.verdict, row.accepted_window) for row in calm] == [
        ((), "steady", None),
        ((), "steady", 2),
        ((), "steady", 2),
    ]
    assert drift_began(run, before="2") == NOW
    assert drift_began(calm, before="2") is None
    assert last_call(calm, version="1") is None


@pytest.mark.parametrize(("z", "expected"), [(9.0, "warning"), (11.0, "drift")])
def test_a_harmless_cause_calls_again_only_when_it_grows(z: float, expected: str) -> None:
    called = last_call([report(1, 7.0, version="0")], version="1", harmless={1})
    assert called == Called("harmless", 1, {"novelty_mean": 7.0})
    again = without_repetition(
        Verdict("drift", ("far",)), called, alarms=("novelty_mean",), z={"novelty_mean": z}
    )
    assert again.kind == expected


def test_a_harmless_cause_ends_with_a_calm_window() -> None:
    assert last_call([report(1, 7.0), report(2)], version="1", harmless={1}) is None


@pytest.mark.parametrize(
    ("kind", "evidence", "window"),
    [
        ("drift", {"windows": [{"number": 3, "verdict": "drift"}]}, 3),
        (
            "drift",
            {
                "windows": [
                    {"number": 3, "verdict": "drift"},
                    {"number": 4, "verdict": "needs_labels"},
                ]
            },
            3,
        ),
        (
            "drift",
            {"windows": [{"number": 5, "verdict": "needs_labels"}], "due": {"window": 5}},
            5,
        ),
        ("drift", {"label_test": {}}, None),
    ],
)
def test_a_call_belongs_to_a_window(
    kind: str, evidence: dict[str, object], window: int | None
) -> None:
    assert calling_window(kind, evidence) == window
