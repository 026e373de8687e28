from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy.engine import Engine

from core.contracts import Verdict
from core.decisions import record_decision
from core.errors import FlowServerUnreachable
from flows.events import emit_drift
from monitoring.drift.unanswered import open_drift, unanswered_drift, with_unanswered
from monitoring.outcomes import read_unfinished

NOW = datetime(2026, 3, 1, tzinfo=UTC)
DAY = timedelta(days=1)
HOUR = timedelta(hours=1)
DRIFT = Verdict("drift", ("labels moved",), {"windows": [{"number": 4}]})


def decide(
    engine: Engine, verdict: Verdict, subject: str, *, at: datetime, classifier: str = "organ"
) -> None:
    with engine.begin() as connection:
        record_decision(connection, verdict, classifier=classifier, subject=subject, decided_at=at)


def unanswered(engine: Engine, *, now: datetime = NOW) -> Verdict | None:
    with engine.connect() as connection:
        return unanswered_drift(connection, classifier="organ", now=now, cool_down_days=7)


def test_without_a_drift_nothing_is_called_again(engine: Engine) -> None:
    decide(engine, Verdict("steady"), "drift", at=NOW - DAY)
    decide(engine, DRIFT, "drift", at=NOW - DAY, classifier="other")
    assert unanswered(engine) is None


def test_a_drift_whose_event_was_lost_is_called_again(engine: Engine) -> None:
    decide(engine, DRIFT, "drift", at=NOW - DAY)
    decide(engine, Verdict("steady"), "drift", at=NOW - DAY / 2)
    again = unanswered(engine)
    assert again is not None and (again.kind, again.evidence) == ("drift", DRIFT.evidence)
    assert again.reasons == (
        "the drift called at 2026-02-28 00:00 has no answer yet",
        "labels moved",
    )


@pytest.mark.parametrize("kind", ["promote", "keep", "reject", "undecided", "hold"])
def test_a_verdict_of_a_gate_since_then_answers_it(engine: Engine, kind: str) -> None:
    decide(engine, DRIFT, "drift", at=NOW - DAY)
    decide(engine, Verdict(kind), "gate", at=NOW - DAY)
    assert unanswered(engine) is None


def test_a_gate_whose_champion_was_changed_meanwhile_is_no_answer(engine: Engine) -> None:
    decide(engine, DRIFT, "drift", at=NOW - DAY)
    decide(engine, Verdict("wait", ("version 3 became champion",)), "gate", at=NOW - DAY)
    assert unanswered(engine) is not None


def test_a_gate_of_before_is_no_answer_and_the_cool_down_falls_due_by_itself(
    engine: Engine,
) -> None:
    decide(engine, Verdict("promote"), "gate", at=NOW - 3 * DAY)
    decide(engine, DRIFT, "drift", at=NOW - DAY)
    decide(engine, Verdict("wait"), "retraining", at=NOW - DAY)
    assert unanswered(engine) is None
    assert unanswered(engine, now=NOW + 4 * DAY) is not None


def test_after_retrainings_without_a_verdict_the_pauses_double_up_to_a_day(
    engine: Engine,
) -> None:
    """Watches come every hour for a month, and no retraining gets as far as the gate."""
    decide(engine, DRIFT, "drift", at=NOW)
    tried = []
    for hour in range(30 * 24):
        now = NOW + hour * HOUR
        if unanswered(engine, now=now):
            tried.append(hour)
            decide(engine, Verdict("retrain"), "retraining", at=now)
            decide(engine, Verdict("failed"), "retraining", at=now)
    assert tried[:8] == [0, 1, 3, 6, 12, 24, 48, 72]
    assert tried[-1] - tried[-2] == 24
    with engine.connect() as connection:
        drift = open_drift(connection, "organ", now=NOW + 2 * HOUR)
    assert drift is not None
    assert drift.due(now=NOW + 2 * HOUR, cool_down_days=7).reasons == (
        "2 retrainings since then gave no verdict; the next one is due at 2026-03-01 02:30",
    )


def test_a_new_call_does_not_wait_for_the_failures_before_it(engine: Engine) -> None:
    decide(engine, DRIFT, "drift", at=NOW - 3 * HOUR)
    for hours in (3, 2):
        decide(engine, Verdict("retrain"), "retraining", at=NOW - hours * HOUR)
    decide(engine, DRIFT, "drift", at=NOW - HOUR)
    assert unanswered(engine) is not None


def test_a_drift_of_this_watch_is_not_called_twice() -> None:
    assert with_unanswered(DRIFT, DRIFT) is DRIFT
    steady = Verdict("steady", ("window 5: as usual",))
    assert with_unanswered(steady, None) is steady
    called = with_unanswered(steady, DRIFT)
    assert called.kind == "drift" and called.reasons[-1] == "window 5: as usual"


def test_a_broken_client_is_named_beside_a_drift_that_waits() -> None:
    steady = Verdict("steady", evidence={"broken_client": "mojibake from north"})
    assert with_unanswered(steady, DRIFT).evidence["broken_client"] == "mojibake from north"
    earlier = Verdict("drift", evidence={"broken_client": "mojibake from south"})
    assert with_unanswered(Verdict("steady"), earlier).evidence["broken_client"] is None


def test_an_event_that_prefect_does_not_take_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    from prefect.settings import PREFECT_API_URL, temporary_settings

    with (
        temporary_settings({PREFECT_API_URL: "http://127.0.0.1:9/api"}),
        pytest.raises(FlowServerUnreachable, match="the drift of organ"),
    ):
        emit_drift("organ", DRIFT, now=NOW)


def unfinished(engine: Engine) -> dict[str, str]:
    with engine.connect() as connection:
        found = read_unfinished(connection)
    return {
        classifier: "; ".join(verdict.sentence for verdict in verdicts)
        for classifier, verdicts in found.items()
    }


@pytest.mark.parametrize(
    ("subject", "kind", "shown"),
    [
        ("retraining", "wait", "wait"),
        ("retraining", "failed", "failed"),
        ("gate", "hold", "hold of version 4"),
    ],
)
def test_what_waits_is_shown_until_something_else_is_decided(
    engine: Engine, subject: str, kind: str, shown: str
) -> None:
    decide(engine, Verdict("retrain", ("granted",)), "retraining", at=NOW - DAY)
    decide(engine, Verdict(kind, ("because",), {"version": "4"}), subject, at=NOW)
    decide(engine, Verdict("canary", ("a try",)), "rollout", at=NOW)
    decide(engine, Verdict("steady", ("calm",)), "drift", at=NOW)
    assert unfinished(engine) == {"organ": f"{shown} since 2026-03-01 00:00: because"}
    decide(engine, Verdict("promote", ("by hand",)), "rollout", at=NOW)
    assert unfinished(engine) == {}


HELD = Verdict("hold", ("many flips",), {"version": "4"})


@pytest.mark.parametrize(
    ("subject", "verdict"),
    [
        ("retraining", Verdict("wait", ("due on Friday",))),
        ("retraining", Verdict("failed", ("no rows",))),
        ("rollout", Verdict("reject", ("seen",), {"version": "3"})),
        ("rollout", Verdict("shadow", ("a try",), {"version": "4"})),
    ],
)
def test_a_held_version_stays_held_while_nobody_decides_about_it(
    engine: Engine, subject: str, verdict: Verdict
) -> None:
    decide(engine, HELD, "gate", at=NOW)
    decide(engine, verdict, subject, at=NOW + DAY)
    shown = unfinished(engine)["organ"].split("; ")
    assert shown[0] == "hold of version 4 since 2026-03-01 00:00: many flips"
    assert [line.split()[0] for line in shown[1:]] == [verdict.kind] * (subject == "retraining")


def test_the_wait_of_a_version_ends_with_its_rejection(engine: Engine) -> None:
    waits = Verdict("wait", ("promote it by hand",), {"version": "5"})
    decide(engine, waits, "gate", at=NOW)
    decide(engine, Verdict("reject", ("seen",), {"version": "4"}), "rollout", at=NOW)
    assert list(unfinished(engine)) == ["organ"]
    decide(engine, Verdict("reject", ("seen",), {"version": "5"}), "rollout", at=NOW)
    assert unfinished(engine) == {}


@pytest.mark.parametrize(
    ("subject", "verdict"),
    [
        ("rollout", Verdict("reject", ("seen",), {"version": "4"})),
        ("rollout", Verdict("promote", ("seen",), {"version": "4"})),
        ("rollout", Verdict("roll_back", ("slow",), {"version": "2"})),
        ("rollout", Verdict("retire", ("removed",), {"version": "2"})),
        ("gate", Verdict("keep", ("equal",), {"version": "5"})),
    ],
)
def test_a_hold_ends_with_a_decision_about_it_another_champion_or_a_newer_candidate(
    engine: Engine, subject: str, verdict: Verdict
) -> None:
    decide(engine, HELD, "gate", at=NOW)
    decide(engine, verdict, subject, at=NOW + DAY)
    assert unfinished(engine) == {}
