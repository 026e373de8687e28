"""The names and final states of runs in the Prefect UI."""

from __future__ import annotations

from typing import cast

import pytest
from prefect.client.schemas.objects import State

from core.contracts import Verdict
from flows.pages.runs import STATES, NotCompleted, call_flow, run_name, shown_run
from monitoring.drift.concluding import SEVERITY

PROMOTED = Verdict("promote", ("gain",), {"version": "2"})
REJECTED = Verdict("reject", ("recall of J00 drops",), {"version": "3"})


@pytest.mark.parametrize(
    ("classifiers", "reason", "verdicts", "name"),
    [
        (["block"], "drift", None, "block: drift"),
        (["block"], "drift", {"block": PROMOTED}, "block: drift, version 2 promoted"),
        (["block"], "manual", {"block": REJECTED}, "block: manual, version 3 rejected"),
        (["block"], "drift", {"block": Verdict("wait")}, "block: drift, waiting"),
        (["block"], "", {"block": Verdict("needs_labels")}, "block: labels wanted"),
        (["block"], "", {"block": Verdict("drift", (), {"version": "1"})}, "block: drift"),
        (["a", "b"], "manual", {"a": PROMOTED, "b": PROMOTED}, "a, b: manual, version 2 promoted"),
        (["a", "b"], "", {"a": Verdict("steady"), "b": Verdict("drift")}, "a, b: steady, drift"),
        (["a", "b", "c", "d"], "manual", None, "a, b, c and 1 more: manual"),
        ([], "", None, "all"),
    ],
)
def test_a_run_is_named_after_classifier_reason_and_result(
    classifiers: list[str], reason: str, verdicts: dict[str, Verdict] | None, name: str
) -> None:
    assert run_name(classifiers, reason, verdicts) == name


@pytest.mark.parametrize(
    ("kinds", "kind", "state"),
    [
        (["promote"], "COMPLETED", "Promoted"),
        (["reject"], "COMPLETED", "Rejected"),
        (["keep"], "COMPLETED", "Kept"),
        (["wait"], "CANCELLED", "Waiting"),
        (["wait", "promote"], "COMPLETED", "Promoted"),
        (["wait", "failed"], "FAILED", "Partly failed"),
        (["drift"], "COMPLETED", "Drift"),
        (["insufficient"], "COMPLETED", "Insufficient"),
        (["promote", "reject"], "COMPLETED", "Rejected"),
        (["promote", "failed"], "FAILED", "Partly failed"),
        (["steady", "drift"], "COMPLETED", "Drift"),
        (["steady", "insufficient"], "COMPLETED", "Steady"),
        ([], "COMPLETED", "Completed"),
    ],
)
def test_a_run_ends_in_a_state_of_the_verdicts_name(
    kinds: list[str], kind: str, state: str
) -> None:
    verdicts = {f"c{at}": Verdict(name, ("because",)) for at, name in enumerate(kinds)}

    @shown_run
    def watch(classifiers: list[str]) -> dict[str, Verdict]:
        return verdicts

    ended = cast(State, watch(list(verdicts)))
    assert (ended.type.value, ended.name) == (kind, state)
    message = "\n".join(f"{name}: because" for name in verdicts)
    assert ended.message == message
    carried = ended.data.verdicts if isinstance(ended.data, NotCompleted) else ended.data
    assert carried == verdicts


def test_the_caller_of_a_flow_gets_its_verdicts_and_its_errors() -> None:
    waiting = {"block": Verdict("wait")}

    def wait(classifiers: list[str]) -> dict[str, Verdict]:
        raise NotCompleted(waiting, "block waits")

    def fail(classifiers: list[str]) -> dict[str, Verdict]:
        raise RuntimeError("away")

    assert call_flow(wait, ["block"]) == waiting
    with pytest.raises(RuntimeError, match="away"):
        call_flow(fail, ["block"])


def test_every_verdict_of_a_flow_has_a_state() -> None:
    gate = {"promote", "keep", "reject", "undecided", "hold", "wait", "failed"}
    memory = {"renewed", "current", "waiting"}
    assert set(STATES) == gate | memory | set(SEVERITY) | {"reported"}
