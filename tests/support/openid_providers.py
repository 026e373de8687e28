"""A real OpenID provider, in a process of its own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from tests.support.places import free_port
from tests.support.processes import wait_until


@contextmanager
def openid_provider(log: Path) -> Iterator[str]:
    """Yield the issuer of a provider that knows no client and no person yet."""
    port = free_port()
    command = [sys.executable, "-m", "oidc_provider_mock", "--port", str(port)]
    command += ["--require-registration", "true", "--require-nonce", "true"]
    with log.open("wb") as output, subprocess.Popen(command, stdout=output, stderr=output) as run:
        try:
            issuer = f"http://127.0.0.1:{port}"
            wait_until(lambda: _answers(issuer), seconds=60, what="the provider answers")
            yield issuer
        finally:
            run.terminate()


def register_client(issuer: str, callback: str) -> tuple[str, str]:
    """Register a console at the provider; return its id and its secret."""
    answer = httpx.post(f"{issuer}/oauth2/clients", json={"redirect_uris": [callback]})
    client = answer.raise_for_status().json()
    return client["client_id"], client["client_secret"]


def register_person(issuer: str, sub: str, **claims: Any) -> None:
    """Let the provider know a person."""
    httpx.put(f"{issuer}/users/{sub}", json=claims).raise_for_status()


def grant(authorization: str, sub: str) -> str:
    """Sign in at the provider as a person; return the address to which it sends the browser."""
    answer = httpx.post(authorization, data={"sub": sub})
    assert answer.is_redirect, answer.text
    return answer.headers["location"]


def _answers(issuer: str) -> bool:
    try:
        return httpx.get(f"{issuer}/.well-known/openid-configuration").is_success
    except httpx.HTTPError:
        return False
