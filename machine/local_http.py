"""Asks the servers of this machine, past any proxy that the shell names."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from typing import Any

# Seconds. A server that is down refuses at once; on a busy machine it may be slow.
PATIENCE = 10.0


def answers(url: str, *, timeout: float = PATIENCE) -> bool:
    """Return True for a status of 200 in time."""
    try:
        with _open(url, timeout) as response:
            return bool(response.status == 200)
    except OSError:
        return False


def ask(url: str, *, body: Any = None, timeout: float = PATIENCE) -> Any | None:
    """GET, or POST the body; return the JSON of the response, None without a usable one in time."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data=data, headers={"content-type": "application/json"})
    try:
        with _open(request, timeout) as response:
            return json.load(response)
    except (OSError, ValueError):
        return None


def _open(request: str | urllib.request.Request, timeout: float) -> Any:
    without_proxy = urllib.request.ProxyHandler({})
    return urllib.request.build_opener(without_proxy).open(request, timeout=timeout)
