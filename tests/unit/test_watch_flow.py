"""What a watch does with the verdicts of several classifiers."""

from __future__ import annotations

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from core.contracts import ModelVersion, Verdict
from core.errors import HeadRefused, StageFailed
from flows import watch

NOW = datetime(2026, 4, 1, tzinfo=UTC)
DRIFT = Verdict("drift", ("labels moved twice",))
BROKEN = HeadRefused("a head", came="none", do="restore it")


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """`broken` cannot be watched, every other classifier drifts; keeps who was retrained, who was announced."""
    kept: list[str] = []

    def judge(context: object, name: str, *_: object) -> Verdict:
        if name == "broken":
            raise BROKEN
        return DRIFT

    def retrain(classifiers: list[str], **_: object) -> dict[str, Verdict]:
        kept.append(f"retrained {classifiers[0]}")
        if classifiers == ["unlucky"]:
            raise StageFailed("a stage", came="an error", do="mend it")
        return {classifiers[0]: Verdict("promote")}

    monkeypatch.setattr(watch, "_watch_one", judge)
    monkeypatch.setattr(watch, "_show_watch", lambda *_, **__: None)
    monkeypatch.setattr(watch, "open_embedder", lambda settings, model: None)
    monkeypatch.setattr(
        watch, "emit_drift", lambda name, *_, **__: kept.append(f"announced {name}")
    )
    monkeypatch.setattr(watch, "retrain", retrain)
    return kept


def look(*classifiers: str, act: bool) -> tuple[dict[str, str], list[Any]]:
    champions = {
        name: ModelVersion(name, "1", "nowhere", "sha256:0", "use") for name in classifiers
    }
    context: Any = SimpleNamespace(champions=lambda: champions, settings=None)
    verdicts, failures = watch.watch_all(context, classifiers, NOW, act=act)
    return {name: verdict.kind for name, verdict in verdicts.items()}, failures


def test_a_classifier_that_cannot_be_watched_costs_no_other_its_drift(told: list[str]) -> None:
    assert look("first", "broken", "last", act=False) == (
        {"first": "drift", "last": "drift"},
        [BROKEN],
    )
    assert told == ["announced first", "announced last"]


def test_with_act_a_drift_is_retrained_whatever_fails_beside_it(told: list[str]) -> None:
    verdicts, failures = look("first", "broken", "unlucky", "last", act=True)
    assert told == ["retrained first", "retrained unlucky", "retrained last"]
    assert (verdicts, [type(error) for error in failures]) == (
        {"first": "promote", "last": "promote"},
        [HeadRefused, StageFailed],
    )


def test_a_classifier_named_twice_is_watched_once(told: list[str]) -> None:
    assert look("first", "first", act=False) == ({"first": "drift"}, [])
    assert told == ["announced first"]
