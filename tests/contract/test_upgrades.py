"""Requests that offer another protocol, as bytes on a socket: answered over HTTP/1.1."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from bentos.http.app import ClassifierApp
from bentos.vendor_patches.uvicorn_upgrades import ignore_upgrades
from tests.support.http_servers import ask_raw, served
from tests.support.request_paths import Bench

Address = tuple[str, int]
BODY = b'{"phrase": "broken heart"}'
LENGTH = b"content-length: %d\r\n" % len(BODY)
CHUNKED = b"transfer-encoding: chunked\r\n"
CHUNKS = b"%x\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY)
JAVA = (
    b"POST /v1/organ/predict HTTP/1.1\r\n"
    b"Connection: Upgrade, HTTP2-Settings\r\n"
    b"Host: localhost\r\n"
    b"HTTP2-Settings: AAEAAEAAAAIAAAABAAMAAABkAAQBAAAAAAUAAEAA\r\n"
    b"Upgrade: h2c\r\n"
    b"User-Agent: Java-http-client/17.0.15\r\n"
    b"Content-Type: application/json\r\n"
)
CLOSING = JAVA.replace(b"Upgrade, HTTP2", b"close, Upgrade, HTTP2")
OTHER = CLOSING.replace(b"h2c", b"TLS/1.0, IRC/6.9")


@pytest.fixture
def address(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> Iterator[Address]:
    """A server that ignores offers; uvicorn's own methods are restored when the test ends."""
    from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

    for name in ("data_received", "_should_upgrade"):
        monkeypatch.setattr(HttpToolsProtocol, name, getattr(HttpToolsProtocol, name))
    ignore_upgrades()
    app = ClassifierApp()
    app.state.app_state = bench.parts()
    with served(app) as address:
        yield address


REQUESTS = {
    "head and body in one packet": (CLOSING + LENGTH + b"\r\n" + BODY,),
    "head, then body, as Java sends": (CLOSING + LENGTH + b"\r\n", BODY),
    "a head in two parts": (CLOSING[:40], CLOSING[40:] + LENGTH + b"\r\n" + BODY),
    "a body in two parts": (CLOSING + LENGTH + b"\r\n" + BODY[:7], BODY[7:]),
    "a chunked body": (CLOSING + CHUNKED + b"\r\n", CHUNKS),
    "another protocol": (OTHER + LENGTH + b"\r\n", BODY),
}


@pytest.mark.parametrize("name", REQUESTS)
def test_an_offered_protocol_is_ignored_and_the_body_is_read(
    address: Address, bench: Bench, name: str
) -> None:
    answer = ask_raw(address, *REQUESTS[name])
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n"), answer
    assert b'"label":' in answer
    assert [row["phrase"] for row in bench.logged()] == ["broken heart"]


def test_a_connection_goes_on_after_the_offer(address: Address, bench: Bench) -> None:
    offered = JAVA + LENGTH + b"\r\n" + BODY
    plain = b"GET /v1/classifiers HTTP/1.1\r\nhost: here\r\nconnection: close\r\n\r\n"
    answer = ask_raw(address, offered * 300, plain)
    assert answer.count(b"HTTP/1.1 200 OK\r\n") == 301
    assert answer.endswith(b"]}]}")
    assert len(bench.logged()) == 300


@pytest.mark.parametrize("target", [b"localhost:443", b"/v1/organ/predict"])
def test_a_tunnel_is_refused(address: Address, bench: Bench, target: bytes) -> None:
    head = CLOSING.replace(b"POST /v1/organ/predict", b"CONNECT " + target)
    assert ask_raw(address, head + LENGTH + b"\r\n", BODY).startswith(b"HTTP/1.1 400 ")
    assert bench.logged() == []


def test_what_is_not_http_is_refused(address: Address) -> None:
    assert ask_raw(address, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").startswith(b"HTTP/1.1 400 ")
