"""Reports on a played load test: rates, hit rates and latencies of cold and warm requests. Pure."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import numpy as np

from operations.sizing.loadtest import Plan, Played
from operations.sizing.streams import seen_before


@dataclass(frozen=True)
class RequestSlice:
    """Some requests of a load test.

    Latencies are milliseconds from the moment a request was due. They are None when no request of
    the slice was answered.
    """

    name: str
    requests: int
    hit_rate: float | None
    p50: float | None
    p95: float | None
    p99: float | None
    errors: int


@dataclass(frozen=True)
class LoadReport:
    """What a load test measured.

    Rates are answered requests per second. `statuses` counts HTTP statuses; "0" stands for no
    answer. The first slice covers all requests.
    """

    classifier: str
    rate: float
    peak: float
    achieved_rate: float
    achieved_peak: float
    retries: int
    statuses: dict[str, int]
    slices: list[RequestSlice] = field(default_factory=list)

    @property
    def whole(self) -> RequestSlice:
        return self.slices[0]


def report_load(plan: Plan, played: Played) -> LoadReport:
    """Report all, cold and warm requests: of the whole test, at the mean rate and at the peak."""
    statuses = Counter(played.status.tolist())
    return LoadReport(
        classifier=plan.classifier,
        rate=plan.rate,
        peak=plan.peak,
        achieved_rate=_achieved(plan, played, ~plan.busy),
        achieved_peak=_achieved(plan, played, plan.busy),
        retries=int(played.retries.sum()),
        statuses={str(status): count for status, count in sorted(statuses.items())},
        slices=_slices(plan, played),
    )


def _slices(plan: Plan, played: Played) -> list[RequestSlice]:
    warm = seen_before(plan.phrases)
    every = np.ones(len(plan.due), bool)
    times = {"all": every, "mean": ~plan.busy, "peak": plan.busy}
    kinds = {"all": every, "cold": ~warm, "warm": warm}
    return [
        _slice(_slice_name(time, kind), played, times[time] & kinds[kind])
        for time in times
        for kind in kinds
    ]


def _slice_name(time: str, kind: str) -> str:
    return f"{time}, {kind}".removeprefix("all, ").removesuffix(", all")


def _slice(name: str, played: Played, chosen: np.ndarray) -> RequestSlice:
    good = chosen & (played.status == 200)
    requests = int(chosen.sum())
    errors = int((chosen & (played.status != 200)).sum())
    if not good.any():
        return RequestSlice(name, requests, None, None, None, None, errors)

    quantiles = np.percentile(played.latency_ms[good], [50, 95, 99])
    p50, p95, p99 = (round(float(value), 2) for value in quantiles)
    hit_rate = round(float((played.cached[good] == 1).mean()), 4)
    return RequestSlice(name, requests, hit_rate, p50, p95, p99, errors)


def _achieved(plan: Plan, played: Played, chosen: np.ndarray) -> float:
    """Answers per second of the time they took; each stretch of one rate is timed separately."""
    good = played.status == 200
    ended = plan.due + np.nan_to_num(played.latency_ms) / 1000
    seconds = 0.0
    answers = 0.0
    for start, stop in _stretches(chosen):
        part = slice(start, stop)
        answers += float(good[part].sum())
        pace = plan.peak if plan.busy[start] else plan.rate
        seconds += max(float(ended[part].max() - plan.due[start]), (stop - start) / pace)
    return round(answers / seconds, 2) if seconds else 0.0


def _stretches(chosen: np.ndarray) -> list[tuple[int, int]]:
    edges = np.flatnonzero(np.diff(np.concatenate([[False], chosen, [False]]).astype(int)))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))
