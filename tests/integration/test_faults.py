"""Processes of the service are killed, stopped and asked to end; `-rP` shows the times."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import psutil

from tests.support.processes import wait_until
from tests.support.services import House, failed, steady_load

PREDICT = "/v1/organ/predict"
BACK_SECONDS = 120  # generous: on an idle machine it is a tenth of this


def ask(client: httpx.Client, phrase: str) -> httpx.Response:
    return client.post(PREDICT, json={"phrase": phrase})


def timed(call: Callable[[], httpx.Response]) -> tuple[httpx.Response, float]:
    started = time.monotonic()
    return call(), time.monotonic() - started


def test_a_killed_embedder_costs_new_phrases_a_503_at_once_and_known_ones_nothing(
    house: House, client: httpx.Client
) -> None:
    assert ask(client, "known to the first level").status_code == 200
    [embedder] = house.workers("Embedder")
    killed = time.monotonic()
    embedder.kill()
    wait_until(lambda: ask(client, "new").status_code == 503, seconds=10, what="the death noticed")
    missed, seconds = timed(lambda: ask(client, "another new one"))
    hit = ask(client, "known to the first level")
    assert (missed.status_code, missed.headers["retry-after"], missed.json()["code"]) == (
        503,
        "1",
        "embedder_unavailable",
    )
    assert (hit.status_code, hit.json()["cached"]) == (200, True)
    assert seconds < 2, "it did not wait for the socket's timeout"
    wait_until(
        lambda: ask(client, "new").status_code == 200,
        seconds=BACK_SECONDS,
        what="the embedder back",
    )
    back = time.monotonic() - killed
    print(f"503 after {1000 * seconds:.0f} ms")
    print(f"new phrases are answered {back:.1f} s after kill -9 of the embedder")
    assert [one.pid for one in house.workers("Embedder")] != [embedder.pid]


def test_requests_in_flight_hear_at_once_that_the_embedder_died(
    house: House, client: httpx.Client
) -> None:
    [embedder] = house.workers("Embedder")
    embedder.suspend()
    with ThreadPoolExecutor(1) as pool, httpx.Client(base_url=house.url, timeout=20) as other:
        asked = pool.submit(ask, other, "asked before the death")
        wait_until(lambda: waiting(client) == 1, seconds=10, what="the request at the embedder")
        embedder.kill()
        assert asked.result(20).status_code == 503
    wait_until(
        lambda: ask(client, "new again").status_code == 200,
        seconds=BACK_SECONDS,
        what="the embedder back",
    )


def waiting(client: httpx.Client) -> float:
    lines = client.get("/metrics").text.splitlines()
    return next(
        float(line.split()[1]) for line in lines if line.startswith("perennial_misses_waiting ")
    )


def test_a_killed_classifier_worker_is_back_and_no_answer_is_lost(house: House) -> None:
    before = house.settled_ids()
    [worker] = house.workers("Classifier")
    with steady_load(house) as seen:
        wait_until(lambda: len(seen) > 100, seconds=60, what="answers")
        killed = time.monotonic()
        count = len(seen)
        worker.kill()
        wait_until(
            lambda: any(status == 200 for status, _ in seen[count + 10 :]),
            seconds=BACK_SECONDS,
            what="answers again",
        )
        back = time.monotonic() - killed
        print(f"answers {back:.1f} s after kill -9 of the classifier's worker")
    answered = {answer["request_id"] for status, answer in seen if status == 200}
    wait_until(
        lambda: answered <= house.logged_ids() - before,
        seconds=60,
        what="every answer in the table",
    )


def test_a_hung_embedder_costs_new_phrases_a_503_and_known_ones_nothing(
    house: House, client: httpx.Client
) -> None:
    assert ask(client, "known before it hung").status_code == 200
    [embedder] = house.workers("Embedder")
    with suspended(embedder):
        assert ask(client, "new to a hung one").status_code == 503
        assert ask(client, "known before it hung").status_code == 200
    wait_until(
        lambda: ask(client, "new to a hung one").status_code == 200,
        seconds=60,
        what="answers again",
    )


def test_sigterm_lets_requests_in_flight_finish_and_refuses_new_ones(
    house: House, client: httpx.Client
) -> None:
    [embedder] = house.workers("Embedder")
    [worker] = house.workers("Classifier")
    folders = {
        Path(one.laddr).parent for one in house.supervisor.net_connections("unix") if one.laddr
    }
    with ThreadPoolExecutor(1) as pool, httpx.Client(base_url=house.url, timeout=60) as other:
        with suspended(embedder):
            asked = pool.submit(ask, other, "asked before the end")
            wait_until(lambda: waiting(client) == 1, seconds=30, what="the request at the embedder")
            assert house.service is not None
            house.service.send_signal(signal.SIGTERM)
            wait_until(lambda: refused(house), seconds=10, what="new connections refused")
            assert worker.is_running()
        answer = asked.result(60)
    assert answer.status_code == 200
    assert house.service.wait(60) == 0
    assert not psutil.pid_exists(worker.pid)
    assert len(folders) == 2, "the embedder's socket, and those that control the supervisor"
    assert not [folder for folder in folders if folder.exists()]
    assert answer.json()["request_id"] in house.logged_ids()
    house.ensure_service()


@contextmanager
def suspended(process: psutil.Process) -> Iterator[None]:
    process.suspend()
    try:
        yield
    finally:
        process.resume()


def refused(house: House) -> bool:
    try:
        httpx.get(f"{house.url}/livez", timeout=0.5)
    except httpx.ConnectError:
        return True
    except httpx.HTTPError:
        return False
    return False


def test_the_first_start_after_an_end_is_warm(house: House, client: httpx.Client) -> None:
    phrases = [f"kept phrase {number}" for number in range(20)]
    client.post("/v1/organ/predict_batch", json={"phrases": phrases})
    house.stop_service()
    house.ensure_service()
    with httpx.Client(base_url=house.url, timeout=10) as again:
        answers = again.post("/v1/organ/predict_batch", json={"phrases": phrases}).json()[
            "predictions"
        ]
        metrics = again.get("/metrics").text
    assert all(answer["cached"] for answer in answers)
    assert "perennial_embeddings_computed_total 0.0" in metrics, "the embeddings were kept, too"


def test_a_request_that_is_cut_off_harms_nobody(house: House, client: httpx.Client) -> None:
    with steady_load(house, clients=1) as seen:
        for number in range(20):
            with suppress(httpx.TimeoutException):
                httpx.post(house.url + PREDICT, json={"phrase": f"cut off {number}"}, timeout=0.001)
        wait_until(lambda: len(seen) > 50, seconds=60, what="answers")
    assert failed(seen) == []
