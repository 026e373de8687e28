"""`perennial status`: how a classifier stands, and what needs attention first."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy.engine import Engine

from core.contracts import Deployment, ModelVersion, Verdict
from core.database import DatabaseUrls
from core.decisions import record_decision
from core.deployments import append_deployment, current_champions
from core.feedback import record_feedback
from core.settings import Settings
from core.tables.loop import inference as table
from machine.environment import child_settings
from machine.schedules import schedules_of
from monitoring.outcomes import read_unfinished
from monitoring.standing import Standing, read_standing
from tests.support.inferences import inference
from tests.support.places import clean_environment
from tests.support.repositories import ROOT

NOW = datetime.now(UTC).replace(microsecond=0)
DAY = timedelta(days=1)
CALLED = Verdict("drift", ("labels moved",), {"windows": []})
ASKED = {"windows": [{"number": 3, "verdict": "needs_labels"}], "label_requests": [{}, {}]}


@pytest.fixture(autouse=True)
def champion(engine: Engine) -> None:
    """Version 2 answers; three of its answers are of the last day, one is older."""
    model = ModelVersion("block", "2", "/models/2", "sha256:2", "tiny")
    moments = [NOW - DAY / 2] * 3 + [NOW - 2 * DAY]
    with engine.begin() as connection:
        append_deployment(connection, Deployment(model, "champion", 1.0, NOW - 9 * DAY, "test"))
        connection.execute(table.insert(), [logged(*row) for row in enumerate(moments)])
    decide(engine, "gate", Verdict("promote", ("better",), {"version": "2"}), NOW - 9 * DAY)


def logged(number: int, moment: datetime) -> dict[str, Any]:
    return asdict(inference(number, classifier="block", version="2", occurred_at=moment))


def decide(engine: Engine, subject: str, verdict: Verdict, at: datetime) -> None:
    with engine.begin() as connection:
        record_decision(connection, verdict, classifier="block", subject=subject, decided_at=at)


def standing(engine: Engine, classifier: str = "block", *, cool_down_days: float = 7) -> Standing:
    with engine.connect() as connection:
        return read_standing(
            connection,
            classifier,
            current_champions(connection).get(classifier),
            cool_down_days=cool_down_days,
            unfinished=read_unfinished(connection).get(classifier, ()),
            now=NOW,
        )


def needs(engine: Engine) -> list[str]:
    return [need.text for need in standing(engine).attention]


def test_it_says_what_answers_how_much_and_how_well(engine: Engine) -> None:
    with engine.begin() as connection:
        for number, right in enumerate(["heart", "lung"]):
            record_feedback(
                connection,
                request_id=f"request-{number}",
                label=right,
                author="ada",
                received_at=NOW,
            )
    stands = standing(engine)
    assert (stands.version, stands.answers_of_last_day) == ("2", 3)
    assert stands.quality is not None
    assert (stands.quality.answers, stands.quality.labelled, stands.quality.right) == (4, 2, 1)
    assert stands.gate is not None and stands.gate.kind == "promote"
    assert (stands.drift, stands.attention) == (None, ())
    assert stands.waits == ("2 labels came since its training",)


def test_a_drift_within_the_cool_down_waits_and_one_after_it_needs_a_person(
    engine: Engine,
) -> None:
    decide(engine, "drift", CALLED, NOW - DAY)
    waiting = standing(engine, cool_down_days=30)
    assert waiting.attention == ()
    assert "waits: the last retraining was at" in waiting.waits[0]
    assert "the next one for drift is due at" in waiting.waits[0]
    assert "perennial retrain block --reason drift" in needs(engine)[0]


def test_a_drift_that_a_gate_has_answered_needs_nobody(engine: Engine) -> None:
    decide(engine, "drift", CALLED, NOW - DAY)
    decide(engine, "gate", Verdict("keep", ("equal",), {"version": "3"}), NOW)
    assert (needs(engine), standing(engine).waits) == ([], ())


def test_wanted_labels_are_named_with_the_number_of_phrases(engine: Engine) -> None:
    decide(engine, "drift", Verdict("needs_labels", ("few labels",), ASKED), NOW - DAY)
    [need] = needs(engine)
    for text in ("wants labels", "2 phrases would help", "perennial watch block"):
        assert text in need


@pytest.mark.parametrize("by_hand", ["promote", "reject"])
def test_a_held_version_waits_for_a_person_until_one_decides(engine: Engine, by_hand: str) -> None:
    decide(engine, "gate", Verdict("hold", ("many flips",), {"version": "3"}), NOW)
    [need] = needs(engine)
    assert "many flips" in need and "`perennial rollout promote block 3`" in need
    decide(engine, "rollout", Verdict(by_hand, ("seen",), {"version": "3"}), NOW)
    assert needs(engine) == []


def test_a_failed_retraining_needs_attention_and_one_that_waits_is_shown(engine: Engine) -> None:
    decide(engine, "retraining", Verdict("failed", ("no rows",)), NOW)
    assert needs(engine) == [f"the retraining failed since {NOW:%Y-%m-%d %H:%M}: no rows"]
    decide(engine, "retraining", Verdict("wait", ("due on Friday",)), NOW)
    assert needs(engine) == []
    assert standing(engine).waits == (f"wait since {NOW:%Y-%m-%d %H:%M}: due on Friday",)


def test_a_broken_client_is_named(engine: Engine) -> None:
    evidence = {"broken_client": "mojibake from north"}
    for kind in ("broken_client", "warning"):
        decide(engine, "drift", Verdict(kind, ("window 5",), evidence), NOW)
        assert needs(engine) == ["a client has to be mended: mojibake from north"]


def test_a_classifier_without_a_version_says_how_to_get_one(engine: Engine) -> None:
    stands = standing(engine, "chapter")
    assert (stands.version, stands.quality) == (None, None)
    assert [need.text for need in stands.attention] == [
        "no version answers yet: `perennial retrain chapter`"
    ]


def test_status_prints_what_needs_attention_first(
    engine: Engine, database: DatabaseUrls, session_settings: Settings
) -> None:
    evidence = {"broken_client": "mojibake from north"}
    decide(engine, "drift", Verdict("broken_client", ("window 5",), evidence), NOW)
    environment = clean_environment() | child_settings(session_settings, database)

    def status(*arguments: str) -> str:
        command = [sys.executable, "-m", "cli.app", *arguments, "status"]
        environment["PYTHONPATH"] = str(ROOT)
        done = subprocess.run(
            command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300
        )
        assert done.returncode == 3, done.stderr  # no program runs
        return done.stdout

    lines = status().splitlines()
    assert lines[0] == "Needs attention:"
    assert lines[1] == "  no program runs: `perennial up`"
    client = lines.index("  block: a client has to be mended: mojibake from north")
    block = next(n for n, line in enumerate(lines) if line.startswith("block: version 2 answers"))
    programs = next(n for n, line in enumerate(lines) if line.startswith("name "))
    assert client < block < programs
    keys = [line.split()[0] for line in lines[block + 1 : programs] if line.startswith("  ")]
    assert keys[:4] == ["quality", "answers", "drift", "training"]
    report = json.loads(status("--json"))
    assert report["classifiers"]["block"]["answers_of_last_day"] == 3
    assert report["champions"]["block"]["model"]["version"] == "2"
    assert report["waiting"] == {}


def test_without_a_prefect_server_no_schedule_is_shown(session_settings: Settings) -> None:
    assert schedules_of(session_settings, ["block"]) == {}
