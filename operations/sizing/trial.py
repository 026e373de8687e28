"""Tries an advice out: replays the newest requests with the advised caches, and without caches."""

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
from typing import TYPE_CHECKING

import numpy as np

from core.errors import ProcessFailed
from core.groups import group_of
from core.settings import REPOSITORY, Settings
from machine.local_http import answers
from operations.sizing.advice import Costs, advise_sizes
from operations.sizing.hit_rates import speed_up
from operations.sizing.loadtest import Plan, Played, run_load
from operations.sizing.requests_log import LoggedRequests

if TYPE_CHECKING:
    from bentos.packaging.package import ServeCommand

START_SECONDS = 180.0
STOP_SECONDS = 30.0
REPEATED = 200  # cached phrases that are sent once more, to time hits alone


@dataclass(frozen=True)
class SizingTrial:
    """Predictions and measurements, side by side.

    Speed-ups compare the service's own time per answer with that of caches of one entry.
    """

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
    requests: LoggedRequests,
    *,
    sizes: tuple[int, int],
    rate: float,
    seconds: float,
) -> SizingTrial:
    """Serve the newest bento twice in isolation, and play the newest requests from empty caches.

    The services have a home of their own and no database. The requests are those of the busiest
    classifier, in their order. Raises `ProcessFailed`.
    """
    stream = newest_of_busiest(requests, max(1, int(rate * seconds)))
    advice = advise_sizes(stream, costs=None, now=sizes, rate=rate, peak=rate, within=0)
    predicted = advice.hit_rate_now
    name = stream.classifier[0]
    with served_alone(settings, name, sizes=(1, 1)) as url:
        bare_ms, bare = _timed(url, name, stream.phrase, rate=rate)
    with served_alone(settings, name, sizes=sizes) as url:
        cached_ms, cached = _timed(url, name, stream.phrase, rate=rate)
        repeated = list(dict.fromkeys(reversed(stream.phrase)))[: min(REPEATED, sizes[0])]
        hit_ms, _ = _timed(url, name, repeated, rate=rate)

    bare_rate = _hit_rate(bare)
    miss_ms = (bare_ms - bare_rate * hit_ms) / max(1e-9, 1 - bare_rate)
    costs = Costs(hit_ms, max(hit_ms, miss_ms))
    bare_speed_up = speed_up(bare_rate, costs.relative)
    return SizingTrial(
        classifier=name,
        requests=len(stream.phrase),
        errors=int((bare.status != 200).sum() + (cached.status != 200).sum()),
        predicted_hit_rate=predicted,
        hit_rate=_hit_rate(cached),
        predicted_speed_up=speed_up(predicted, costs.relative) / bare_speed_up,
        speed_up=bare_ms / cached_ms,
        costs=costs,
    )


def newest_of_busiest(requests: LoggedRequests, rows: int) -> LoggedRequests:
    """The last `rows` requests of the busiest classifier, as if one version had answered them."""
    classifiers = requests.classifier
    busiest = max(set(classifiers), key=classifiers.count)
    places = [place for place, name in enumerate(classifiers) if name == busiest][-rows:]
    return LoggedRequests(
        phrase=[requests.phrase[place] for place in places],
        cleaned=[requests.cleaned[place] for place in places],
        classifier=[busiest] * len(places),
        version=[""] * len(places),
        cached=requests.cached[places],
        latency_ms=requests.latency_ms[places],
    )


@contextmanager
def served_alone(settings: Settings, classifier: str, *, sizes: tuple[int, int]) -> Iterator[str]:
    """Serve the newest bento of the classifier in isolation; yield its URL.

    The service listens on a free loopback port. Its caches have these sizes and start empty, and
    nothing is logged.
    """
    from bentos.packaging.package import bento_name, serve_command

    tag = f"{bento_name(group_of(settings.groups, classifier).number)}:latest"
    with tempfile.TemporaryDirectory(
        prefix="perennial-trial-", ignore_cleanup_errors=True
    ) as folder:
        home = Path(folder)
        home.joinpath("bentoml").symlink_to((settings.home / "bentoml").absolute())
        isolated = _isolated(settings, home, sizes=sizes)
        command = serve_command(tag, settings=isolated, database_url="")
        child = _start(command, log=home / "log")
        try:
            _wait_ready(child, isolated.service_url, log=home / "log")
            yield isolated.service_url
        finally:
            _end(child)


def _isolated(settings: Settings, home: Path, *, sizes: tuple[int, int]) -> Settings:
    return settings.model_copy(
        update={
            "home": home,
            "host": "127.0.0.1",
            "service_port": _free_port(),
            "api_keys_file": None,
            "warm_phrases": 0,
            "bentos": "",
            "cache_answers": sizes[0],
            "cache_phrases": sizes[1],
        }
    )


def _start(command: ServeCommand, *, log: Path) -> subprocess.Popen[bytes]:
    variables = command.child_environment(os.environ)
    for name in ("PERENNIAL_DATABASE_URL", "PERENNIAL_API_KEYS_FILE"):
        variables.pop(name, None)
    with log.open("wb") as output:
        return subprocess.Popen(
            command.argv,
            env=variables,
            cwd=REPOSITORY,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )


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
                do="build a bento with `perennial retrain`, or leave out --check",
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
    """Play phrases; return the service's own mean milliseconds per answer, and the results."""
    count = len(phrases)
    due = np.arange(count) / rate
    plan = Plan(url, classifier, phrases, due, np.zeros(count, bool), rate, rate)
    before = _spent(url)
    played = run_load(plan)
    after = _spent(url)
    if not (played.status == 200).any():
        statuses = ", ".join(map(str, sorted(set(played.status.tolist()))))
        raise ProcessFailed(
            f"answers of {classifier} in the trial",
            came=f"status {statuses} to all {count}",
            do="name a classifier that the newest bento serves",
        )
    seconds = after[0] - before[0]
    answered = after[1] - before[1]
    return 1000 * seconds / max(1.0, answered), played


def _spent(url: str) -> tuple[float, float]:
    """Return the seconds and the requests that /metrics has counted so far."""
    import httpx

    text = httpx.get(f"{url}/metrics", timeout=10, trust_env=False).text
    samples = re.findall(r"^perennial_answer_seconds_(sum|count) (\S+)$", text, re.MULTILINE)
    totals = {name: float(value) for name, value in samples}
    return totals["sum"], totals["count"]


def _hit_rate(played: Played) -> float:
    good = played.status == 200
    return float((played.cached[good] == 1).mean()) if good.any() else float(np.nan)
