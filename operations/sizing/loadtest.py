"""A load test: a plan played in a process of its own, and what is reported of it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from core.errors import ProcessFailed, UnknownClassifier
from core.settings import REPOSITORY
from operations.sizing.streams import arrivals, said_before

MOST_USERS = 200  # connections; the service takes 256 requests at once
TIMEOUT = 10.0  # seconds for one try
PATIENCE = 60.0  # seconds after the last phrase was due


@dataclass(frozen=True)
class Plan:
    """Phrases, when each is due (seconds from the start) and whether it belongs to the peak."""

    url: str
    classifier: str
    phrases: Sequence[str]
    due: np.ndarray
    busy: np.ndarray
    rate: float
    peak: float

    def told(self) -> dict:
        """As the player reads it."""
        users = int(min(MOST_USERS, max(8, self.peak)))
        said = {
            "url": self.url,
            "classifier": self.classifier,
            "phrases": list(self.phrases),
            "due": self.due.tolist(),
        }
        return {**said, "users": users, "timeout": TIMEOUT, "patience": PATIENCE}


@dataclass(frozen=True)
class Slice:
    """Some requests of a load test. Latencies in milliseconds from the moment a request was due; None where nothing was answered."""

    name: str
    requests: int
    hit_rate: float | None
    p50: float | None
    p95: float | None
    p99: float | None
    errors: int


@dataclass(frozen=True)
class Report:
    """What a load test found. Rates are requests answered a second; `statuses` counts what was answered, "0" being nothing."""

    classifier: str
    rate: float
    peak: float
    achieved_rate: float
    achieved_peak: float
    retries: int
    statuses: dict[str, int]
    slices: list[Slice] = field(default_factory=list)

    @property
    def whole(self) -> Slice:
        return self.slices[0]


@dataclass(frozen=True)
class Played:
    """One value a request, in the order of the plan: milliseconds, status (0: none), cached (-1: no answer, else 0 or 1), retries."""

    latency_ms: np.ndarray
    status: np.ndarray
    cached: np.ndarray
    retries: np.ndarray


def plan_load(
    url: str, classifier: str, phrases: Sequence[str], *, rate: float, peak: float, seconds: float
) -> Plan:
    """Schedule phrases; there must be as many as `arrivals` gives moments."""
    due, busy = arrivals(rate=rate, peak=peak, seconds=seconds)
    return Plan(url, classifier, phrases, due, busy, rate, peak)


def requests_of(*, rate: float, peak: float, seconds: float) -> int:
    """How many requests such a test sends."""
    return len(arrivals(rate=rate, peak=peak, seconds=seconds)[0])


def find_classifiers(url: str, wanted: str | None) -> list[str]:
    """Return those that may be asked: the one wanted, or all. Raises `ProcessFailed`, `UnknownClassifier`."""
    import os

    import httpx

    from operations.sizing.player import API_KEY

    key = os.environ.get(API_KEY)
    try:
        told = httpx.get(
            f"{url}/v1/classifiers",
            headers={"authorization": f"Bearer {key}"} if key else {},
            timeout=10,
            trust_env=False,
        )
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise ProcessFailed(
            f"a service at {url}",
            came=type(error).__name__,
            do="start it by `perennial up` or correct --url",
        ) from None
    if told.status_code != 200:
        do = (
            f"set {API_KEY} to a key of this service"
            if told.status_code == 401
            else "see the service's log"
        )
        raise ProcessFailed(f"the classifiers of {url}", came=f"status {told.status_code}", do=do)
    known = _names(told.text, url)
    if not known or (wanted and wanted not in known):
        raise UnknownClassifier(
            f"a classifier that {url} answers for",
            came=wanted or "none",
            do=f"name one of {', '.join(known)}",
        )
    return [wanted] if wanted else known


def _names(text: str, url: str) -> list[str]:
    try:
        return [one["classifier"] for one in json.loads(text)["classifiers"]]
    except (ValueError, KeyError, TypeError):
        raise ProcessFailed(
            f"a service at {url}", came="the answer of another program", do="correct --url"
        ) from None


def run_load(plan: Plan) -> Played:
    """Play the plan against its service. Raises `ProcessFailed` when the player broke."""
    done = subprocess.run(
        [sys.executable, "-m", "operations.sizing.player"],
        input=json.dumps(plan.told()),
        capture_output=True,
        text=True,
        cwd=REPOSITORY,
        check=False,
    )
    if done.returncode != 0:
        came = (done.stderr.strip() or "no output").splitlines()[-1]
        raise ProcessFailed(
            "a load test played to its end",
            came=came,
            do="`make setup` installs Locust; else report this line",
        )
    return as_played(json.loads(done.stdout)["rows"], requests=len(plan.due))


def as_played(rows: Sequence[Sequence], *, requests: int) -> Played:
    """Put the player's rows in the order of the plan; what is missing was never answered."""
    latency, status = np.full(requests, np.nan), np.zeros(requests, int)
    cached, retries = np.full(requests, -1), np.zeros(requests, int)
    for place, milliseconds, code, hit, again in rows:
        latency[place], status[place], retries[place] = milliseconds, code, again
        cached[place] = -1 if hit is None else int(hit)
    return Played(latency, status, cached, retries)


def report_load(plan: Plan, played: Played) -> Report:
    """Pure: slices of all requests, of cold and warm ones, each also at the mean rate and at the peak."""
    warm, every = said_before(plan.phrases), np.ones(len(plan.due), bool)
    slices = [
        _slice(f"{when}, {what}".removeprefix("all, ").removesuffix(", all"), played, time & kind)
        for when, time in (("all", every), ("mean", ~plan.busy), ("peak", plan.busy))
        for what, kind in (("all", every), ("cold", ~warm), ("warm", warm))
    ]
    return Report(
        classifier=plan.classifier,
        rate=plan.rate,
        peak=plan.peak,
        achieved_rate=_achieved(plan, played, ~plan.busy),
        achieved_peak=_achieved(plan, played, plan.busy),
        retries=int(played.retries.sum()),
        statuses={
            str(code): count for code, count in sorted(Counter(played.status.tolist()).items())
        },
        slices=slices,
    )


def _slice(name: str, played: Played, chosen: np.ndarray) -> Slice:
    good = chosen & (played.status == 200)
    requests, errors = int(chosen.sum()), int((chosen & (played.status != 200)).sum())
    if not good.any():
        return Slice(name, requests, None, None, None, None, errors)
    p50, p95, p99 = (
        round(float(value), 2) for value in np.percentile(played.latency_ms[good], [50, 95, 99])
    )
    return Slice(
        name, requests, round(float((played.cached[good] == 1).mean()), 4), p50, p95, p99, errors
    )


def _achieved(plan: Plan, played: Played, chosen: np.ndarray) -> float:
    """Answers a second over the time in which they came; the two stretches at the mean rate are taken apart."""
    good, ended = played.status == 200, plan.due + np.nan_to_num(played.latency_ms) / 1000
    seconds = answers = 0.0
    for start, stop in _stretches(chosen):
        part = slice(start, stop)
        answers += float(good[part].sum())
        pace = plan.peak if plan.busy[start] else plan.rate
        seconds += max(float(ended[part].max() - plan.due[start]), (stop - start) / pace)
    return round(answers / seconds, 2) if seconds else 0.0


def _stretches(chosen: np.ndarray) -> list[tuple[int, int]]:
    edges = np.flatnonzero(np.diff(np.concatenate([[False], chosen, [False]]).astype(int)))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))
