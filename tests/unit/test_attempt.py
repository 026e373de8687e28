from __future__ import annotations

import pytest

from core.errors import DataCheckFailed, StageFailed
from flows.attempt import Attempt

UNCHECKED = DataCheckFailed("sound rows", came="none", do="look")
UNTRAINED = StageFailed("a head", came="one label", do="widen history_days")


def test_the_others_go_on_and_the_verdict_says_why_one_did_not() -> None:
    attempt = Attempt(["a", "b", "c"])
    attempt.leave_out({"b": UNCHECKED})
    assert attempt.remaining == ["a", "c"]
    verdict = attempt.verdicts()["b"]
    assert verdict.kind == "failed"
    assert verdict.reasons == ("expected sound rows, got none; look",)
    assert verdict.evidence == {"code": "data_check_failed"}


def test_an_error_while_one_is_judged_leaves_out_that_one() -> None:
    attempt = Attempt(["a", "b"])
    with attempt.alone("a"):
        raise UNTRAINED
    assert attempt.remaining == ["b"]
    assert list(attempt.verdicts()) == ["a"]


def test_an_error_without_a_name_ends_the_run() -> None:
    with pytest.raises(ValueError, match="a bug"), Attempt(["a", "b"]).alone("a"):
        raise ValueError("a bug")


def test_without_any_other_the_first_error_is_raised() -> None:
    attempt = Attempt(["a", "b"])
    attempt.leave_out({"a": UNCHECKED})
    with pytest.raises(DataCheckFailed):
        attempt.leave_out({"b": UNTRAINED})
