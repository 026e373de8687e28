"""Plans a load test and plays it in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from core.errors import ProcessFailed, UnknownClassifier
from core.settings import REPOSITORY, Settings
from operations.sizing.player import API_KEY
from operations.sizing.requests_log import RequestSource, busiest_classifier, load_requests
from operations.sizing.streams import arrivals, draw_phrases

MOST_USERS = 200  # connections; the service takes 256 requests at once
TIMEOUT = 10.0  # seconds per try
PATIENCE = 60.0  # seconds to wait after the last phrase was due


@dataclass(frozen=True)
class LoadOptions:
    """What a load test sends: `rate` and `peak` in requests per second, `new` a share of phrases.

    `url` and `classifier` are found when they are None.
    """

    url: str | None
    classifier: str | None
    rate: float
    peak: float
    seconds: float
    new: float
    zipf: bool
    seed: int


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

    def as_json(self) -> dict[str, Any]:
        """Return the plan as the player reads it."""
        return {
            "url": self.url,
            "classifier": self.classifier,
            "phrases": list(self.phrases),
            "due": self.due.tolist(),
            "users": int(min(MOST_USERS, max(8, self.peak))),
            "timeout": TIMEOUT,
            "patience": PATIENCE,
        }


@dataclass(frozen=True)
class Played:
    """One value per request, in the order of the plan.

    `status` is 0 without an answer. `cached` is 0 or 1, and -1 without an answer.
    """

    latency_ms: np.ndarray
    status: np.ndarray
    cached: np.ndarray
    retries: np.ndarray


def prepare_load(
    settings: Settings, source: RequestSource, options: LoadOptions
) -> tuple[Plan, float | None]:
    """Choose the classifier and draw the phrases; return the plan and the exponent of `--zipf`."""
    url = _service_url(settings, options)
    served = find_classifiers(url, options.classifier)
    classifier, phrases = busiest_classifier(load_requests(settings, source), served)

    due, busy = arrivals(rate=options.rate, peak=options.peak, seconds=options.seconds)
    drawn, exponent = draw_phrases(
        phrases,
        rows=len(due),
        new=options.new,
        seed=options.seed,
        mark=f"{time.time_ns():x}",
        zipf=options.zipf,
    )
    return Plan(url, classifier, drawn, due, busy, options.rate, options.peak), exponent


def _service_url(settings: Settings, options: LoadOptions) -> str:
    if options.url:
        return options.url.rstrip("/")
    if options.classifier:
        return settings.url_of(options.classifier).rstrip("/")
    return settings.service_url.rstrip("/")


def find_classifiers(url: str, classifier: str | None) -> list[str]:
    """Return the classifiers to choose from: the given one, or all that the service answers for.

    Raises `ProcessFailed` and `UnknownClassifier`.
    """
    served = _served_classifiers(url)
    if not served or (classifier and classifier not in served):
        raise UnknownClassifier(
            f"a classifier that {url} answers for",
            came=classifier or "none",
            do=f"name one of {', '.join(served)}" if served else "`perennial retrain` and wait",
        )
    return [classifier] if classifier else served


def _served_classifiers(url: str) -> list[str]:
    import httpx

    key = os.environ.get(API_KEY)
    headers = {"authorization": f"Bearer {key}"} if key else {}
    try:
        response = httpx.get(f"{url}/v1/classifiers", headers=headers, timeout=10, trust_env=False)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise ProcessFailed(
            f"a service at {url}",
            came=type(error).__name__,
            do="start it with `perennial up`, or correct --url",
        ) from None

    if response.status_code != 200:
        raise ProcessFailed(
            f"the classifiers of {url}",
            came=f"status {response.status_code}",
            do=_advice_on_status(response.status_code),
        )
    return _names(response.text, url)


def _advice_on_status(status: int) -> str:
    if status == 401:
        return f"set {API_KEY} to a key of this service"
    return "see the log of the service"


def _names(text: str, url: str) -> list[str]:
    try:
        return [row["classifier"] for row in json.loads(text)["classifiers"]]
    except (ValueError, KeyError, TypeError):
        raise ProcessFailed(
            f"a service at {url}", came="the answer of another program", do="correct --url"
        ) from None


def run_load(plan: Plan) -> Played:
    """Play the plan against its service. Raises `ProcessFailed` when the player fails."""
    done = subprocess.run(
        [sys.executable, "-m", "operations.sizing.player"],
        input=json.dumps(plan.as_json()),
        capture_output=True,
        text=True,
        cwd=REPOSITORY,
        check=False,
    )
    if done.returncode != 0:
        last_line = (done.stderr.strip() or "no output").splitlines()[-1]
        raise ProcessFailed(
            "a complete load test",
            came=last_line,
            do="run `make setup`, which installs Locust; otherwise report this line",
        )
    return as_played(json.loads(done.stdout)["rows"], requests=len(plan.due))


def as_played(rows: Sequence[Sequence[Any]], *, requests: int) -> Played:
    """Put the player's rows in the order of the plan; a missing row was never answered."""
    latency_ms = np.full(requests, np.nan)
    status = np.zeros(requests, int)
    cached = np.full(requests, -1)
    retries = np.zeros(requests, int)
    for place, milliseconds, code, hit, tries in rows:
        latency_ms[place] = milliseconds
        status[place] = code
        cached[place] = -1 if hit is None else int(hit)
        retries[place] = tries
    return Played(latency_ms, status, cached, retries)
