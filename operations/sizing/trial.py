"""An advice put to the test: what was asked last is asked again of a service with the advised caches, and of one without."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from core.errors import ProcessFailed
from core.groups import group_of
from core.settings import REPOSITORY, Settings
from machine.local_http import answers
from operations.sizing.advice import Costs, advise
from operations.sizing.hit_rates import speed_up
from operations.sizing.loadtest import Plan, Played, run_load
from operations.sizing.requests_log import LoggedRequests

START_SECONDS = 180.0
STOP_SECONDS = 30.0
KNOWN = 200  # phrases that are asked once more when the cache knows them, to time hits alone


@dataclass(frozen=True)
class Trial:
    """Predicted and measured side by side. Speed-up is that of the service's own time for an answer, against caches of one entry."""

    classifier: str
    requests: int
    errors: int
    predicted_hit_rate: float
    hit_rate: float
    predicted_speed_up: float
    speed_up: float
    costs: Costs


def try_sizes(
    settings: Settings,
    asked: LoggedRequests,
    *,
    sizes: tuple[int, int],
    rate: float,
    seconds: float,
) -> Trial:
    """Serve the newest bento twice, apart from everything: a home of its own, no database. Raises `ProcessFailed`.

    The newest answers of the classifier that was asked most are played in their order, from empty caches.
    """
    stream = newest_of_busiest(asked, max(1, int(rate * seconds)))
    predicted = advise(stream, costs=None, now=sizes, rate=rate, peak=rate, within=0).hit_rate_now
    name = stream.classifier[0]
    with served_alone(settings, name, sizes=(1, 1)) as url:
        bare_ms, bare = _timed(url, name, stream.phrase, rate=rate)
    with served_alone(settings, name, sizes=sizes) as url:
        cached_ms, cached = _timed(url, name, stream.phrase, rate=rate)
        known = list(dict.fromkeys(reversed(stream.phrase)))[: min(KNOWN, sizes[0])]
        hit_ms, _ = _timed(url, name, known, rate=rate)
    bare_rate = _hit_rate(bare)
    costs = Costs(hit_ms, max(hit_ms, (bare_ms - bare_rate * hit_ms) / max(1e-9, 1 - bare_rate)))
    against = speed_up(bare_rate, costs.relative)
    return Trial(
        classifier=name,
        requests=len(stream.phrase),
        errors=int((bare.status != 200).sum() + (cached.status != 200).sum()),
        predicted_hit_rate=predicted,
        hit_rate=_hit_rate(cached),
        predicted_speed_up=speed_up(predicted, costs.relative) / against,
        speed_up=bare_ms / cached_ms,
        costs=costs,
    )


def newest_of_busiest(asked: LoggedRequests, rows: int) -> LoggedRequests:
    """The last `rows` phrases of the classifier that was asked most, as if one version had answered."""
    name = max(set(asked.classifier), key=asked.classifier.count)
    places = [place for place, one in enumerate(asked.classifier) if one == name][-rows:]
    phrase, cleaned = (
        [asked.phrase[place] for place in places],
        [asked.cleaned[place] for place in places],
    )
    return LoggedRequests(
        phrase,
        cleaned,
        [name] * len(places),
        [""] * len(places),
        asked.cached[places],
        asked.latency_ms[places],
    )


@contextmanager
def served_alone(settings: Settings, classifier: str, *, sizes: tuple[int, int]) -> Iterator[str]:
    """The newest bento with the classifier, its caches of these sizes and empty, on a free port of loopback; nothing is logged."""
    from bentos.packaging.package import bento_name, serve_command

    tag = f"{bento_name(group_of(settings.groups, classifier).number)}:latest"

    with tempfile.TemporaryDirectory(
        prefix="perennial-trial-", ignore_cleanup_errors=True
    ) as folder:
        home = Path(folder)
        home.joinpath("bentoml").symlink_to((settings.home / "bentoml").absolute())
        changed = {
            "home": home,
            "host": "127.0.0.1",
            "service_port": _free_port(),
            "api_keys_file": None,
            "warm_phrases": 0,
            "bentos": "",
        }
        alone = settings.model_copy(
            update={**changed, "cache_answers": sizes[0], "cache_phrases": sizes[1]}
        )
        command = serve_command(tag, settings=alone, database_url="")
        without = ("PERENNIAL_DATABASE_URL", "PERENNIAL_API_KEYS_FILE")
        environment = {
            name: value
            for name, value in command.child_environment(os.environ).items()
            if name not in without
        }
        with home.joinpath("log").open("wb") as log:
            child = subprocess.Popen(
                command.argv,
                env=environment,
                cwd=REPOSITORY,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        try:
            _wait_ready(child, alone.service_url, log=home / "log")
            yield alone.service_url
        finally:
            _end(child)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_ready(child: subprocess.Popen[bytes], url: str, *, log: Path) -> None:
    end = time.monotonic() + START_SECONDS
    while not answers(f"{url}/readyz"):
        if child.poll() is not None or time.monotonic() > end:
            last = log.read_text(errors="replace").strip().splitlines()[-1:] or ["no output"]
            raise ProcessFailed(
                "a service for the trial",
                came=last[0],
                do="build a bento by `perennial retrain`, or leave out --check",
            )
        time.sleep(0.2)


def _end(child: subprocess.Popen[bytes]) -> None:
    child.send_signal(signal.SIGTERM)
    try:
        child.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(child.pid, signal.SIGKILL)
        child.wait()


def _timed(
    url: str, classifier: str, phrases: Sequence[str], *, rate: float
) -> tuple[float, Played]:
    """Milliseconds that the service itself spent on an answer, in the mean, and what was played."""
    count = len(phrases)
    plan = Plan(
        url, classifier, phrases, np.arange(count) / rate, np.zeros(count, bool), rate, rate
    )
    before = _spent(url)
    played = run_load(plan)
    after = _spent(url)
    if not (played.status == 200).any():
        came = f"status {', '.join(map(str, sorted(set(played.status.tolist()))))} to all {count}"
        raise ProcessFailed(
            f"answers of {classifier} in the trial",
            came=came,
            do="name a classifier that the newest bento serves",
        )
    return 1000 * (after[0] - before[0]) / max(1.0, after[1] - before[1]), played


def _spent(url: str) -> tuple[float, float]:
    """Seconds and requests so far, from /metrics."""
    import httpx

    text = httpx.get(f"{url}/metrics", timeout=10, trust_env=False).text
    found = {
        name: float(value)
        for name, value in re.findall(
            r"^perennial_answer_seconds_(sum|count) (\S+)$", text, re.MULTILINE
        )
    }
    return found["sum"], found["count"]


def _hit_rate(played: Played) -> float:
    good = played.status == 200
    return float((played.cached[good] == 1).mean()) if good.any() else float(np.nan)
