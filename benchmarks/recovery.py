"""Measures the recovery from `kill -9` of the embedder and of the classifier's worker under load.

    python -m benchmarks.recovery [--quick] [--json]

Needs the demo's `build/`. Two clients send phrases of the first level, and two send new phrases.
Before each kill the embedder is stopped with SIGSTOP until requests wait for it, so that some are
in flight.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial

import httpx
import psutil
import sqlalchemy as sa

from benchmarks.harness import Result, options, present, progress
from benchmarks.processes import on_threads
from benchmarks.recovery_report import KNOWN, Death, build_result
from benchmarks.served import NAME, Served, served
from benchmarks.streams import noisy_phrases, real_phrases
from core.settings import REPOSITORY
from core.tables.loop import inference

PAUSE_SECONDS = 0.01
GIVE_UP_SECONDS = 120.0
PACKAGES = ("bentoml", "ai-edge-litert", "numpy")


@dataclass(frozen=True)
class Request:
    """One request: start and end, status (0: the connection broke), and the id of its answer."""

    new: bool
    began: float
    ended: float
    status: int
    request_id: str

    @property
    def milliseconds(self) -> float:
        return 1000 * (self.ended - self.began)


@dataclass
class Load:
    """The requests of four clients."""

    requests: list[Request] = field(default_factory=list)

    def since(self, moment: float, *, new: bool) -> list[Request]:
        return [row for row in list(self.requests) if row.began >= moment and row.new == new]

    def answered(self, moment: float, *, new: bool) -> bool:
        return any(row.status == 200 for row in self.since(moment, new=new))

    def waiting_at(self, moment: float) -> list[Request]:
        return [row for row in list(self.requests) if row.new and row.began < moment < row.ended]


def main() -> None:
    """Measure and print."""
    arguments = options("Measure what a killed process costs, and when it is back.").parse_args()
    result = measure(rounds=1 if arguments.quick else 6, seed=arguments.seed)
    present(result, title="Recovery", packages=PACKAGES, arguments=arguments)


def measure(*, rounds: int, seed: int) -> Result:
    """Kill the two processes by turns, on one service under load."""
    known = real_phrases(KNOWN, seed=seed)
    noisy = noisy_phrases(60_000, seed=seed)
    new = [f"{phrase} {number}" for number, phrase in enumerate(noisy)]  # none is a known one
    with served(REPOSITORY / "build") as service:
        fill(service, known)
        deaths: list[Death] = []
        backs: list[float] = []
        with loaded(service, known, new) as load:
            for number in range(rounds):
                deaths.append(kill_embedder(service, load))
                backs.append(kill_worker(service, load))
                seconds = f"embedder {deaths[-1].back:.1f} s, worker {backs[-1]:.1f} s"
                progress(f"round {number + 1} of {rounds}: back after {seconds}")
        lost = lost_answers(service, load)
    return build_result(deaths, backs, lost=lost, requests=len(load.requests))


def fill(service: Served, phrases: Sequence[str]) -> None:
    """Fill the first level with the phrases."""
    url = f"{service.url}/v1/{NAME}/predict_batch"
    httpx.post(url, json={"phrases": list(phrases)}, timeout=60).raise_for_status()


@contextmanager
def loaded(service: Served, known: Sequence[str], new: Sequence[str]) -> Iterator[Load]:
    """Two clients of each kind, with a pause of 10 ms after every answer."""
    load = Load()
    stop = threading.Event()
    streams = [
        itertools.cycle(known),
        itertools.cycle(reversed(known)),
        iter(new[::2]),
        iter(new[1::2]),
    ]

    def run_client(phrases: Iterator[str], *, is_new: bool) -> None:
        with httpx.Client(base_url=service.url, timeout=GIVE_UP_SECONDS) as client:
            while not stop.wait(PAUSE_SECONDS):
                load.requests.append(_send(client, next(phrases), new=is_new))

    clients = [
        partial(run_client, stream, is_new=place > 1) for place, stream in enumerate(streams)
    ]
    with on_threads(clients, stop=stop):
        yield load


def _send(client: httpx.Client, phrase: str, *, new: bool) -> Request:
    began = time.monotonic()
    try:
        answer = client.post(f"/v1/{NAME}/predict", json={"phrase": phrase})
        ended = time.monotonic()
        request_id = str(answer.json().get("request_id", ""))
        return Request(new, began, ended, answer.status_code, request_id)
    except httpx.HTTPError:
        return Request(new, began, time.monotonic(), 0, "")


def kill_embedder(service: Served, load: Load) -> Death:
    """Kill the embedder with requests in flight; wait until new phrases are answered again."""
    _settle(load)
    embedder = worker(service, "Embedder")
    embedder.suspend()
    _until(
        lambda: service.metric("perennial_misses_waiting") == 2,
        what="two requests at the embedder",
    )

    killed = time.monotonic()
    embedder.kill()
    _until(lambda: load.answered(killed, new=True), what="the embedder back")

    requests = load.since(killed, new=True)
    hits = load.since(killed, new=False)
    waiting = load.waiting_at(killed)
    back = min(row.ended for row in requests if row.status == 200)
    refused = [row for row in requests if row.ended < back]

    return Death(
        back=back - killed,
        in_flight_ms=[1000 * (row.ended - killed) for row in waiting],
        refused_ms=[row.milliseconds for row in refused],
        hit_ms=[row.milliseconds for row in hits],
        failed_hits=sum(row.status != 200 for row in hits),
        wrong=sum(row.status != 503 for row in [*refused, *waiting]),
    )


def kill_worker(service: Served, load: Load) -> float:
    """Return the seconds until any request is answered again."""
    _settle(load)
    process = worker(service, "Classifier")
    killed = time.monotonic()
    process.kill()
    _until(lambda: load.answered(killed, new=False), what="the classifier's worker back")
    return min(row.ended for row in load.since(killed, new=False) if row.status == 200) - killed


def _settle(load: Load) -> None:
    """Wait two seconds, then for answers of both kinds, so that kills do not overlap."""
    calm = time.monotonic() + 2
    _until(lambda: time.monotonic() > calm, what="two seconds")
    _until(
        lambda: load.answered(calm, new=False) and load.answered(calm, new=True),
        what="answers of every kind",
    )


def worker(service: Served, name: str) -> psutil.Process:
    """The living worker of a service, "Embedder" or "Classifier"."""
    for process in service.process.children(recursive=True):
        if process.status() == psutil.STATUS_ZOMBIE:
            continue
        words = process.cmdline()
        if "--service-name" in words and words[words.index("--service-name") + 1] == name:
            return process
    raise ValueError(f"the service has no running worker {name}")


def lost_answers(service: Served, load: Load) -> int:
    """Count the answers that clients received and the table lacks, once the journal is shipped."""
    _until(
        lambda: service.metric("perennial_journal_waiting") == 0,
        what="the journal shipped",
    )
    with service.engine.connect() as connection:
        logged = set(connection.scalars(sa.select(inference.c.request_id)))
    return len({row.request_id for row in load.requests if row.status == 200} - logged)


def _until(condition: Callable[[], object], *, what: str) -> None:
    deadline = time.monotonic() + GIVE_UP_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {GIVE_UP_SECONDS:.0f} s: {what}")
        time.sleep(0.01)


if __name__ == "__main__":
    main()
