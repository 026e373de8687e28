"""What a load test or a trial says when nothing useful answers."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import numpy as np
import pytest

from core.errors import ProcessFailed
from operations.sizing import trial
from operations.sizing.loadtest import Played, find_classifiers


class Page(BaseHTTPRequestHandler):
    """Answers everything with a page, as programs for browsers do."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"<html>")

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def page() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), Page) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_another_program_at_the_address_is_named(page: str) -> None:
    with pytest.raises(ProcessFailed, match="the answer of another program; correct --url"):
        find_classifiers(page, None)


def test_an_address_that_is_none_is_named() -> None:
    with pytest.raises(ProcessFailed, match="correct --url"):
        find_classifiers("http://[::1", None)


def test_a_trial_of_a_classifier_that_nobody_serves_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    refused = Played(np.ones(3), np.full(3, 404), np.full(3, -1), np.zeros(3, int))
    monkeypatch.setattr(trial, "run_load", lambda plan: refused)
    monkeypatch.setattr(trial, "_spent", lambda url: (0.0, 0.0))
    with pytest.raises(
        ProcessFailed,
        match="answers of block in the trial, got status 404 to all 3; name a classifier",
    ):
        trial._timed("http://nowhere", "block", ["a", "b", "c"], rate=1)
