"""Recovery: `kill -9` of the embedder and of the classifier's worker under load; who notices, for how long, and what is lost.

    python -m benchmarks.recovery [--quick] [--json]

Needs the demo's `build/`. Two clients ask for phrases of the first level, two for phrases that nobody asked before. Before its death the
embedder is held by SIGSTOP until their requests wait for it, so that some are in flight at every kill.
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
import numpy as np
import psutil
import sqlalchemy as sa

from benchmarks.harness import Bar, Result, median, options, present, table, tell
from benchmarks.processes import on_threads
from benchmarks.rollout import NAME, Served, served
from benchmarks.streams import noisy_phrases, real_phrases
from core.settings import REPOSITORY
from core.tables import inference

KNOWN, PAUSE_SECONDS = 200, 0.01
BACK_SECONDS, REFUSED_MS, GIVE_UP_SECONDS = 10.0, 100.0, 120.0
PACKAGES = ("bentoml", "ai-edge-litert", "numpy")


@dataclass(frozen=True)
class Seen:
    """One request: when it began and ended, its status (0: the connection broke) and the id of its answer."""

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
    """What four clients asked for and heard."""

    seen: list[Seen] = field(default_factory=list)

    def since(self, moment: float, *, new: bool) -> list[Seen]:
        return [one for one in list(self.seen) if one.began >= moment and one.new == new]

    def answered(self, moment: float, *, new: bool) -> bool:
        return any(one.status == 200 for one in self.since(moment, new=new))

    def waiting_at(self, moment: float) -> list[Seen]:
        return [one for one in list(self.seen) if one.new and one.began < moment < one.ended]


@dataclass
class Death:
    """One kill: seconds until an answer came again; milliseconds of those in flight and of those asked while it was dead."""

    back: float
    in_flight_ms: list[float]
    refused_ms: list[float]
    hit_ms: list[float]
    failed_hits: int
    wrong: int


def main() -> None:
    """Measure and print."""
    arguments = options("what a killed process costs, and when it is back").parse_args()
    result = measure(rounds=1 if arguments.quick else 6, seed=arguments.seed)
    present(result, title="Recovery", packages=PACKAGES, arguments=arguments)


def measure(*, rounds: int, seed: int) -> Result:
    """Kill each process in turn, on one service under load."""
    known = real_phrases(KNOWN, seed=seed)
    new = [
        f"{phrase} {number}" for number, phrase in enumerate(noisy_phrases(60_000, seed=seed))
    ]  # none is a known one
    with served(REPOSITORY / "build") as service:
        fill(service, known)
        deaths, backs = list[Death](), list[float]()
        with loaded(service, known, new) as load:
            for number in range(rounds):
                deaths.append(kill_embedder(service, load))
                backs.append(kill_worker(service, load))
                tell(
                    f"round {number + 1} of {rounds}: embedder back after {deaths[-1].back:.1f} s, worker after {backs[-1]:.1f} s"
                )
        lost = lost_answers(service, load)
    return told(deaths, backs, lost=lost, asked=len(load.seen))


def fill(service: Served, phrases: Sequence[str]) -> None:
    """Bring the phrases into the first level."""
    httpx.post(
        f"{service.url}/v1/{NAME}/predict_batch", json={"phrases": list(phrases)}, timeout=60
    ).raise_for_status()


@contextmanager
def loaded(service: Served, known: Sequence[str], new: Sequence[str]) -> Iterator[Load]:
    """Two clients of each kind, with a pause of 10 ms after every answer."""
    load, stop = Load(), threading.Event()
    streams = [
        itertools.cycle(known),
        itertools.cycle(reversed(known)),
        iter(new[::2]),
        iter(new[1::2]),
    ]

    def ask(phrases: Iterator[str], *, is_new: bool) -> None:
        with httpx.Client(base_url=service.url, timeout=GIVE_UP_SECONDS) as client:
            while not stop.wait(PAUSE_SECONDS):
                load.seen.append(_ask(client, next(phrases), new=is_new))

    with on_threads(
        [partial(ask, stream, is_new=place > 1) for place, stream in enumerate(streams)], stop=stop
    ):
        yield load


def _ask(client: httpx.Client, phrase: str, *, new: bool) -> Seen:
    began = time.monotonic()
    try:
        answer = client.post(f"/v1/{NAME}/predict", json={"phrase": phrase})
        return Seen(
            new,
            began,
            time.monotonic(),
            answer.status_code,
            str(answer.json().get("request_id", "")),
        )
    except httpx.HTTPError:
        return Seen(new, began, time.monotonic(), 0, "")


def kill_embedder(service: Served, load: Load) -> Death:
    """Kill it with requests in flight; return when new phrases are answered again."""
    _settle(load)
    embedder = worker(service, "Embedder")
    embedder.suspend()
    _until(
        lambda: service_metric(service, "perennial_misses_waiting") == 2,
        what="two requests at the embedder",
    )
    killed = time.monotonic()
    embedder.kill()
    _until(lambda: load.answered(killed, new=True), what="the embedder back")
    asked, hits = load.since(killed, new=True), load.since(killed, new=False)
    back = min(one.ended for one in asked if one.status == 200)
    refused = [one for one in asked if one.ended < back]
    return Death(
        back=back - killed,
        in_flight_ms=[1000 * (one.ended - killed) for one in load.waiting_at(killed)],
        refused_ms=[one.milliseconds for one in refused],
        hit_ms=[one.milliseconds for one in hits],
        failed_hits=sum(one.status != 200 for one in hits),
        wrong=sum(one.status != 503 for one in [*refused, *load.waiting_at(killed)]),
    )


def kill_worker(service: Served, load: Load) -> float:
    """Return the seconds until any request is answered again."""
    _settle(load)
    process = worker(service, "Classifier")
    killed = time.monotonic()
    process.kill()
    _until(lambda: load.answered(killed, new=False), what="the classifier's worker back")
    return min(one.ended for one in load.since(killed, new=False) if one.status == 200) - killed


def _settle(load: Load) -> None:
    """Two seconds in which every kind was answered, so that no kill meets the remains of the last."""
    calm = time.monotonic() + 2
    _until(lambda: time.monotonic() > calm, what="two seconds")
    _until(
        lambda: load.answered(calm, new=False) and load.answered(calm, new=True),
        what="answers of every kind",
    )


def worker(service: Served, name: str) -> psutil.Process:
    """The living worker of a service, "Embedder" or "Classifier"."""
    for one in service.process.children(recursive=True):
        line = [] if one.status() == psutil.STATUS_ZOMBIE else one.cmdline()
        if "--service-name" in line and line[line.index("--service-name") + 1] == name:
            return one
    raise ValueError(f"no worker {name}")


def service_metric(service: Served, name: str) -> float:
    """One number without labels of /metrics."""
    lines = httpx.get(f"{service.url}/metrics", timeout=10).text.splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith(f"{name} "))


def lost_answers(service: Served, load: Load) -> int:
    """Answers that clients had and the table has not, once nothing waits in the journal."""
    _until(
        lambda: service_metric(service, "perennial_journal_waiting") == 0,
        what="the journal shipped",
    )
    with service.engine.connect() as connection:
        logged = set(connection.scalars(sa.select(inference.c.request_id)))
    return len({one.request_id for one in load.seen if one.status == 200} - logged)


def _until(condition: Callable[[], object], *, what: str) -> None:
    deadline = time.monotonic() + GIVE_UP_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {GIVE_UP_SECONDS:.0f} s: {what}")
        time.sleep(0.01)


def told(deaths: Sequence[Death], backs: Sequence[float], *, lost: int, asked: int) -> Result:
    """Medians, the worst, and the bars: each is held by the worst."""
    series = {
        "embedder killed: new phrases answered again, s": [one.back for one in deaths],
        "embedder killed: 503 for those in flight, ms": [
            ms for one in deaths for ms in one.in_flight_ms
        ],
        "embedder killed: 503 for those asked while it is dead, ms": [
            ms for one in deaths for ms in one.refused_ms
        ],
        "embedder killed: answers of the first level, ms": [
            ms for one in deaths for ms in one.hit_ms
        ],
        "classifier's worker killed: answers again, s": list(backs),
    }
    worst, failed = (
        {name: max(values) for name, values in series.items()},
        sum(one.failed_hits for one in deaths),
    )
    names = list(series)
    rows = [
        (
            name,
            len(values),
            f"{median(values):.3g}",
            f"{np.percentile(values, 99):.3g}",
            f"{max(values):.3g}",
        )
        for name, values in series.items()
    ]
    figures = {
        name: {"median": median(values), "worst": max(values), "count": len(values)}
        for name, values in series.items()
    }
    bars = [
        Bar("seconds until a killed embedder is back, the slowest", worst[names[0]], BACK_SECONDS),
        Bar("ms until those in flight hear 503, the slowest", worst[names[1]], REFUSED_MS),
        Bar(
            "ms until those asked after the death hear 503, the slowest",
            worst[names[2]],
            REFUSED_MS,
        ),
        Bar("failed answers of the first level", failed, 0),
        Bar(
            "answers to new phrases that were neither 200 nor 503",
            sum(one.wrong for one in deaths),
            0,
        ),
        Bar(
            "seconds until a killed classifier worker is back, the slowest",
            worst[names[4]],
            BACK_SECONDS,
        ),
        Bar("answers lost", lost, 0),
    ]
    said = f"{len(deaths)} kills of each, {asked:,} requests of four clients, half of them for {KNOWN} phrases of the first level"
    return Result(
        {**figures, "lost": lost, "failed_hits": failed},
        bars,
        [table(("", "count", "median", "p99", "worst"), rows)],
        said,
    )


if __name__ == "__main__":
    main()
