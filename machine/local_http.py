"""Ask the servers of this machine, past any proxy of the shell."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from typing import Any

PATIENCE = 10.0  # seconds; a server that is down refuses at once, one on a busy machine may be slow


def answers(url: str, *, timeout: float = PATIENCE) -> bool:
    """True for a 200 in time."""
    try:
        with _open(url, timeout) as answer:
            return answer.status == 200
    except OSError:
        return False


def ask(url: str, *, body: Any = None, timeout: float = PATIENCE) -> Any | None:
    """GET, or POST the body; return what came as JSON, or None when nothing usable came in time."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data=data, headers={"content-type": "application/json"})
    try:
        with _open(request, timeout) as answer:
            return json.load(answer)
    except (OSError, ValueError):
        return None


def _open(request: str | urllib.request.Request, timeout: float) -> Any:
    return urllib.request.build_opener(urllib.request.ProxyHandler({})).open(
        request, timeout=timeout
    )
