"""Clients that mean harm, or are merely broken, at the real service, which stays well."""

from __future__ import annotations

import os
import random
import re
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path
from urllib.parse import quote

import httpx
import psutil
import pytest

from bentos.keys import new_key
from bentos.packaging.package import serve_command
from core.settings import REPOSITORY
from tests.support.places import free_port
from tests.support.planted_secrets import command_lines, files_with
from tests.support.processes import running, wait_until
from tests.support.services import House

TESTS = Path(__file__).parents[1]
SCHEMATHESIS = Path(sys.executable).with_name("schemathesis")
PREDICT = "/v1/organ/predict"


@pytest.fixture(autouse=True)
def well_afterwards(house: House, client: httpx.Client) -> Iterator[None]:
    """The same two processes answer a known and a new phrase; no request is left in hand."""
    workers = [one.pid for name in ("Embedder", "Classifier") for one in house.workers(name)]
    client.post(PREDICT, json={"phrase": "known"}).raise_for_status()
    yield
    wait_until(
        lambda: metric(client, "perennial_misses_waiting ") == 0,
        seconds=60,
        what="no new phrase waiting",
    )
    answers = [
        client.post(PREDICT, json={"phrase": phrase}) for phrase in ("known", "after the guest")
    ]
    assert [answer.status_code for answer in answers] == [200, 200]
    assert [
        one.pid for name in ("Embedder", "Classifier") for one in house.workers(name)
    ] == workers


def metric(client: httpx.Client, line_start: str) -> float:
    lines = client.get("/metrics").text.splitlines()
    return next(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(line_start))


def response_to(house: House, request: bytes) -> bytes:
    """The whole answer to raw bytes: to the end of its body, or of the connection."""
    with socket.create_connection(
        ("127.0.0.1", house.settings.service_port), timeout=60
    ) as connection:
        connection.sendall(request)
        response = b""
        while not _whole(response) and (more := connection.recv(65536)):
            response += more
        return response


def _whole(response: bytes) -> bool:
    head, _, body = response.partition(b"\r\n\r\n")
    length = re.search(rb"content-length: (\d+)", head)
    return length is not None and len(body) >= int(length[1])


def test_no_port_but_the_services_is_open(house: House) -> None:
    root = house.supervisor
    open_ports = {
        one.laddr.port
        for process in (root, *root.children(recursive=True))
        for one in _listening(process)
    }
    assert open_ports == {house.settings.service_port}


def _listening(process: psutil.Process) -> list:
    return [one for one in process.net_connections("tcp") if one.status == psutil.CONN_LISTEN]


@pytest.mark.parametrize(
    "path",
    [
        "/v1/../etc/passwd/predict",
        "/v1/..%2f..%2fetc%2fpasswd/predict",
        "/v1/%2e%2e/predict",
        "/v1/organ%00/predict",
        "/v1//predict",
        "/v1/organ%2fx/predict",
    ],
)
def test_tricks_in_a_path_are_404(house: House, path: str) -> None:
    body = b'{"phrase": "a"}'
    head = [
        f"POST {path} HTTP/1.1",
        "host: here",
        "content-type: application/json",
        f"content-length: {len(body)}",
    ]
    answer = response_to(house, "\r\n".join([*head, "", ""]).encode() + body)
    assert answer.startswith(b"HTTP/1.1 404 ") and b'"code":' in answer


@pytest.mark.parametrize(
    "query",
    [
        "version=..%2f..%2fetc%2fpasswd",
        "version=1%00",
        "version=-1",
        "version=1&version=2",
        "version=%c3%28",
    ],
)
def test_tricks_in_a_version_are_422(client: httpx.Client, query: str) -> None:
    for route, body in (("predict", {"phrase": "a"}), ("predict_batch", {"phrases": ["a"]})):
        answer = client.post(f"/v1/organ/{route}?{query}", json=body)
        assert (answer.status_code, answer.json()["code"], "Traceback" in answer.text) == (
            422,
            "invalid_field",
            False,
        )


def test_half_a_head_is_waited_for_a_while_and_others_are_answered_meanwhile(house: House) -> None:
    with ExitStack() as stack:
        held = [
            stack.enter_context(
                socket.create_connection(("127.0.0.1", house.settings.service_port), timeout=60)
            )
            for _ in range(400)
        ]
        for one in held:
            one.sendall(b"POST /v1/organ/predict HTTP/1.1\r\nhost: here\r\n")
        assert (
            httpx.post(
                house.url + PREDICT, json={"phrase": "asked meanwhile"}, timeout=30
            ).status_code
            == 200
        )
        assert {one.recv(1000) for one in held} == {b""}, "the service closed them"


def test_four_hundred_slow_bodies_keep_nobody_out_for_long(house: House) -> None:
    head = b'POST /v1/organ/predict HTTP/1.1\r\nhost: here\r\ncontent-length: 100\r\n\r\n{"phrase'
    with ExitStack() as stack:
        held = [
            stack.enter_context(
                socket.create_connection(("127.0.0.1", house.settings.service_port), timeout=60)
            )
            for _ in range(400)
        ]
        for one in held:
            one.sendall(head)
        met = httpx.post(house.url + PREDICT, json={"phrase": "known"}, timeout=30)
        assert met.status_code in (200, 429), "as many are in hand as may be"
        said_to = Counter(one.recv(1000)[:12] for one in held)
    assert set(said_to) <= {b"HTTP/1.1 408", b"HTTP/1.1 429"}, said_to
    assert httpx.post(house.url + PREDICT, json={"phrase": "known"}, timeout=30).status_code == 200


def test_a_body_that_never_ends_is_408(house: House) -> None:
    answer = response_to(
        house,
        b'POST /v1/organ/predict HTTP/1.1\r\nhost: here\r\ncontent-length: 100\r\n\r\n{"phrase": ',
    )
    assert answer.startswith(b"HTTP/1.1 408 ") and b"slow_body" in answer


def test_what_is_no_http_is_refused(house: House) -> None:
    assert response_to(house, b"\x80\x04\x95 rubbish \r\n\r\n").startswith(b"HTTP/1.1 400 ")


def test_a_body_announced_too_large_is_413_before_it_is_sent(house: House) -> None:
    answer = response_to(
        house,
        b"POST /v1/organ/predict HTTP/1.1\r\nhost: here\r\ncontent-length: 9999999999\r\n\r\n",
    )
    assert answer.startswith(b"HTTP/1.1 413 ")


def test_a_large_body_in_pieces_of_unknown_length_is_413(house: House) -> None:
    piece = b"10000\r\n" + b" " * 65536 + b"\r\n"
    with socket.create_connection(
        ("127.0.0.1", house.settings.service_port), timeout=30
    ) as connection:
        connection.sendall(
            b"POST /v1/organ/predict HTTP/1.1\r\nhost: here\r\ntransfer-encoding: chunked\r\n\r\n"
        )
        with suppress(ConnectionError):  # it need not read to the end what it refuses
            for _ in range(80):
                connection.sendall(piece)
        assert connection.recv(1000).startswith(b"HTTP/1.1 413 ")


def test_a_pickle_is_opened_by_no_socket_of_the_whole_tree(house: House, tmp_path: Path) -> None:
    """So do the embedder's socket and the supervisor's, which only their owner can reach."""
    opened = tmp_path / "opened"
    pickle = b"cposix\nsystem\n(S'touch " + str(opened).encode() + b"'\ntR."
    root = house.supervisor
    family = (root, *root.children(recursive=True))
    sockets = {
        Path(one.laddr)
        for process in family
        for one in process.net_connections("unix")
        if str(one.laddr).startswith("/")
    }
    assert any(path.name.endswith(".sock") for path in sockets), "the embedder's"
    assert {path.parent.stat().st_mode & 0o077 for path in sockets} == {0}, (
        "in folders of their owner alone"
    )
    for path in sorted(sockets):
        for route in ("/raw/embed", "/raw/stats", "/", "/embed", "/readyz"):
            throw(path, route, pickle)
    assert not opened.exists()


def throw(path: Path, route: str, body: bytes) -> None:
    lines = [
        f"POST {route} HTTP/1.1",
        "host: here",
        "connection: close",
        f"content-length: {len(body)}",
        "content-type: application/vnd.bentoml+pickle",
        "payload-container: DefaultContainer",
    ]
    head = "\r\n".join([*lines, "", ""]).encode()
    with socket.socket(socket.AF_UNIX) as connection, suppress(OSError):
        connection.settimeout(5)
        connection.connect(str(path))
        connection.sendall(head + body)
        answer = connection.recv(1000)
        assert not answer.startswith(b"HTTP/1.1 2"), (path, route, answer)


def test_a_wrong_key_opens_nothing_and_a_right_one_does(house: House, tmp_path: Path) -> None:
    (key, hashed) = new_key()
    (other, _) = new_key()
    (tmp_path / "keys").write_text(f"{hashed} a friend\n")
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "bentoml").symlink_to(house.settings.home / "bentoml")
    changed = {
        "home": tmp_path / "home",
        "service_port": free_port(),
        "api_keys_file": tmp_path / "keys",
    }
    settings = house.settings.model_copy(update=changed)
    command = serve_command(house.tag, settings=settings, database_url=house.database_url)
    wrong = (
        "",
        "Bearer",
        f"Bearer {other}",
        f"Bearer {hashed}",
        f"Bearer {key}x",
        f"Basic {key}",
        "Bearer " + "k" * 60_000,
        "Bearer \xff\xfe",
    )
    with running(command, cwd=REPOSITORY, log=tmp_path / "log", url=settings.service_url):
        for sent in wrong:
            headers = {b"authorization": sent.encode("latin-1")}
            answer = httpx.post(
                settings.service_url + PREDICT,
                json={"phrase": "known"},
                headers=headers,
                timeout=30,
            )
            assert answer.status_code in (400, 401), (sent[:20], answer.status_code)
        friend = {"authorization": f"Bearer {key}"}
        assert (
            httpx.post(
                settings.service_url + PREDICT, json={"phrase": "known"}, headers=friend, timeout=30
            ).status_code
            == 200
        )
        assert command_lines(key, but=os.getpid()) == []
    assert {"log", "keys", "shipper.lock"} <= {
        Path(path).name for path in files_with("", [tmp_path])
    }, "the home's files are looked at"
    assert files_with(key, [tmp_path]) + files_with(other, [tmp_path]) == []
    assert key not in repr(house.logged()) and other not in repr(house.logged())


def test_a_pickle_is_refused_wherever_it_is_sent(client: httpx.Client) -> None:
    pickle = (
        b"\x80\x04\x95\x1d\x00\x00\x00\x00\x00\x00\x00"
        b"\x8c\x05posix\x94\x8c\x06system\x94\x93\x94\x8c\x02id\x94\x85\x94R\x94."
    )
    headers = {"content-type": "application/vnd.bentoml+pickle"}
    ours = (
        PREDICT,
        "/v1/organ/predict_batch",
        "/v1/classifiers",
        "/v1/openapi.json",
        "/metrics",
        "/raw/embed",
        "/embed",
        "/anything",
    )
    theirs = (
        "/",
        "/docs.json",
        "/schema.json",
        "/healthz",
        "/livez",
        "/readyz",
        "/static_content/index.html",
        "/encode",
        "/predict",
    )
    paths = (*ours, *theirs, *client.get("/docs.json").json().get("paths", ()))
    statuses = {
        path: client.post(path, content=pickle, headers=headers).status_code for path in paths
    }
    assert set(statuses.values()) <= {400, 404, 405}, statuses


def test_a_bomb_of_ten_thousand_distinct_phrases_leaves_known_ones_quick_and_memory_bounded(
    house: House, client: httpx.Client
) -> None:
    before = memory(house)
    with ThreadPoolExecutor(20) as pool, httpx.Client(base_url=house.url, timeout=60) as guest:
        batches = [
            [f"bomb {batch} {number} " + "x" * 100 for number in range(250)] for batch in range(40)
        ]
        thrown = [
            pool.submit(guest.post, "/v1/organ/predict_batch", json={"phrases": batch})
            for batch in batches
        ]
        during = [client.post(PREDICT, json={"phrase": "known"}) for _ in range(50)]
        statuses = Counter(one.result().status_code for one in thrown)
    assert set(statuses) <= {200, 429}
    assert {one.status_code for one in during} == {200}
    slowest = max(one.elapsed.total_seconds() for one in during)
    print(f"{dict(statuses)}; the slowest of 50 hits meanwhile: {1000 * slowest:.0f} ms")
    print(f"{memory(house) - before:+.0f} MB")
    for level, maximum in (
        ("answers", house.settings.cache_answers),
        ("embeddings", house.settings.cache_phrases),
    ):
        assert metric(client, f'perennial_cache_size{{level="{level}"}}') <= maximum
    assert memory(house) - before < 300


def memory(house: House) -> float:
    """Resident megabytes of both workers."""
    return (
        sum(
            one.memory_info().rss
            for name in ("Embedder", "Classifier")
            for one in house.workers(name)
        )
        / 2**20
    )


def fuzz(house: House, cases: int, folder: Path) -> subprocess.CompletedProcess[str]:
    options = ("--max-examples", str(cases), "--checks", "all", "--seed", "1", "--no-color")
    argv = [
        str(SCHEMATHESIS),
        "--config-file",
        str(TESTS / "schemathesis.toml"),
        "run",
        f"{house.url}/v1/openapi.json",
        *options,
    ]
    return subprocess.run(argv, cwd=folder, capture_output=True, text=True, check=False)


def test_a_hundred_requests_made_from_the_document_keep_to_it(house: House, tmp_path: Path) -> None:
    done = fuzz(house, 100, tmp_path)
    assert done.returncode == 0, done.stdout[-5000:]


def test_a_thousand_odd_questions_for_the_classifiers_are_answered_or_refused(
    client: httpx.Client,
) -> None:
    """The document gives this route nothing to vary."""
    drawn = random.Random(1)
    met = Counter[int]()
    for _ in range(1000):
        query, header = (quote(drawn.randbytes(drawn.randrange(60))) for _ in range(2))
        answer = client.request(
            drawn.choice(["GET", "GET", "POST", "HEAD"]),
            f"/v1/classifiers?{query}",
            headers={"x-odd": header},
        )
        met[answer.status_code] += 1
    assert met.keys() <= {200, 405}, met
    assert met[200] > 400


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_a_thousand_requests_an_endpoint_made_from_the_document_keep_to_it(
    house: House, client: httpx.Client, tmp_path: Path
) -> None:
    before = asked_so_far(client)
    done = fuzz(house, 1000, tmp_path)
    asked = asked_so_far(client) - before
    print(dict(asked))
    assert done.returncode == 0, done.stdout[-5000:]
    assert asked["5xx"] == 0
    assert min(asked["predict"], asked["predict_batch"]) >= 1000, (
        "of `classifiers`, which takes nothing, there are not so many"
    )


def asked_so_far(client: httpx.Client) -> Counter[str]:
    """Responses by route, and all that were 5xx."""
    counts = Counter[str]()
    for route, status, count in re.findall(
        r'^perennial_responses_total\{route="(\w+)",status="(\d+)"\} (\S+)',
        client.get("/metrics").text,
        re.M,
    ):
        counts[route] += int(float(count))
        counts["5xx"] += int(float(count)) if status.startswith("5") else 0
    return counts
