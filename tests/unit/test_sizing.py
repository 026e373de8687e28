"""Load tests without a service: draws, moments, retries, reports."""

from __future__ import annotations

import random
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from operations.sizing.load_report import report_load
from operations.sizing.loadtest import Plan, as_played
from operations.sizing.requests_log import LoggedRequests, busiest_classifier
from operations.sizing.retry import Retry, retry_after_seconds
from operations.sizing.streams import arrivals, draw_phrases, fit_zipf, seen_before, zipf_shares


@dataclass
class Reply:
    status_code: int
    headers: dict[str, str] = field(default_factory=dict)


@pytest.mark.parametrize(
    ("s", "phrases"), [(0.0, 500), (0.7, 20_000), (1.1, 20_000), (1.6, 20_000)]
)
def test_a_fitted_zipf_finds_the_s_that_phrases_were_drawn_by(s: float, phrases: int) -> None:
    drawn = np.random.default_rng(7).choice(phrases, size=100_000, p=zipf_shares(phrases, s=s))
    assert fit_zipf(np.unique(drawn, return_counts=True)[1].tolist()) == pytest.approx(s, abs=0.1)


def test_drawn_phrases_are_known_ones_and_the_stated_share_of_new_ones() -> None:
    phrases = ["fever"] * 90 + ["fracture"] * 10
    drawn, s = draw_phrases(phrases, rows=4000, new=0.25, seed=1)
    known = [phrase for phrase in drawn if phrase in phrases]
    assert s is None
    assert len(known) / 4000 == pytest.approx(0.75, abs=0.03)
    assert known.count("fever") / len(known) == pytest.approx(0.9, abs=0.03)
    assert len(set(drawn) - set(phrases)) == 4000 - len(known), "each new phrase is sent once"
    assert draw_phrases(phrases, rows=4000, new=0.25, seed=1) == (drawn, None)
    assert set(drawn) & set(draw_phrases(phrases, rows=4000, new=0.25, seed=1, mark="b")[0]) == set(
        phrases
    ), "another run says other new ones"


@given(st.floats(1, 200), st.floats(1, 500), st.floats(1, 60))
def test_arrivals_come_in_order_at_the_two_rates(rate: float, peak: float, seconds: float) -> None:
    due, busy = arrivals(rate=rate, peak=peak, seconds=seconds)
    assert (np.diff(due) > 0).all()
    assert due[0] == 0
    assert due[-1] < seconds
    assert busy.sum() == pytest.approx(peak * seconds / 5, abs=1)
    assert (~busy).sum() == pytest.approx(rate * seconds * 4 / 5, abs=2)


def test_a_phrase_is_warm_from_its_second_time_on_however_it_is_written() -> None:
    assert seen_before(["Fever", "cough", "fever ", "FEVER", "cough x"]).tolist() == [
        False,
        False,
        True,
        True,
        False,
    ]


def test_a_retry_waits_longer_each_time_and_never_less_than_retry_after() -> None:
    waited: list[float] = []
    replies = iter([Reply(503, {"retry-after": "2"}), Reply(0), Reply(429), Reply(200)])
    retry = Retry(sleep=waited.append, random=random.Random(1))
    assert retry.call(lambda: next(replies)).status_code == 200
    assert retry.retries == 3
    assert 2 <= waited[0] <= 2.1
    assert 0 <= waited[1] <= 0.2
    assert 0 <= waited[2] <= 0.4


def test_a_retry_spreads_over_the_whole_interval() -> None:
    retry = Retry(random=random.Random(1))
    pauses = [retry.pause(9) for _ in range(2000)]
    assert (min(pauses) < 0.05, max(pauses) > 4.95, max(pauses) <= 5) == (True, True, True)


@pytest.mark.parametrize("status", [200, 400, 401, 404, 422, 500])
def test_what_another_try_cannot_change_is_not_asked_again(status: int) -> None:
    retry = Retry(sleep=lambda _: pytest.fail("waited"))
    assert retry.call(lambda: Reply(status)).status_code == status


def test_a_retry_ends_with_the_last_answer_or_error() -> None:
    def lost() -> Reply:
        raise ConnectionError

    assert Retry(sleep=lambda _: None).call(lambda: Reply(503)).status_code == 503
    with pytest.raises(ConnectionError):
        Retry(sleep=lambda _: None).call(lost)


def test_retry_after_may_be_a_date() -> None:
    soon = format_datetime(datetime.now(UTC) + timedelta(seconds=600), usegmt=True)
    assert 0 < retry_after_seconds(soon) <= 600
    assert [
        retry_after_seconds(text) for text in (None, "", "soon", "Sun, 06 Nov 1994 08:49:37 GMT")
    ] == [
        0,
        0,
        0,
        0,
    ]


def test_a_report_tells_cold_from_warm_and_counts_what_was_never_answered() -> None:
    due, busy = arrivals(rate=1, peak=1, seconds=5)
    plan = Plan("http://x", "organ", ["a", "b", "a", "A", "c"], due, busy, rate=1, peak=1)
    played = as_played(
        [
            [0, 10.0, 200, False, 0],
            [2, 1.0, 200, True, 0],
            [3, 3.0, 200, True, 2],
            [1, 5.0, 503, None, 3],
        ],
        requests=5,
    )
    report = report_load(plan, played)
    slices = {one.name: one for one in report.slices}
    assert (slices["all"].requests, slices["all"].errors, slices["all"].hit_rate) == (5, 2, 0.6667)
    assert (
        slices["cold"].requests,
        slices["cold"].errors,
        slices["cold"].hit_rate,
        slices["cold"].p50,
    ) == (3, 2, 0.0, 10.0)
    assert (
        slices["warm"].requests,
        slices["warm"].errors,
        slices["warm"].hit_rate,
        slices["warm"].p50,
    ) == (2, 0, 1.0, 2.0)
    assert (report.retries, report.statuses) == (5, {"0": 1, "200": 3, "503": 1})
    assert sum(slices[when].requests for when in ("mean", "peak")) == 5
    assert slices["peak, warm"].requests == 1


def test_the_classifier_asked_most_is_the_one_to_load() -> None:
    names = ["block", "organ", "organ", "gone", "gone", "gone"]
    asked = LoggedRequests(
        list("abcdef"), list("abcdef"), names, ["1"] * 6, np.zeros(6, bool), np.zeros(6)
    )
    assert busiest_classifier(asked, ["applications", "block", "organ"]) == ("organ", ["b", "c"])
    assert busiest_classifier(replace(asked, classifier=["phrases"] * 6), ["block", "organ"]) == (
        "block",
        list("abcdef"),
    )
