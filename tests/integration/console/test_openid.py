"""Signing in at a real OpenID provider, which runs as a process of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from sqlalchemy.engine import Engine
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from console.access.openid import DISCOVERY
from console.access.people import Person
from console.access.sign_in import COOKIE
from console.access.users import add_user
from console.app import create_app
from core.errors import SettingsError
from core.settings import load_settings
from flows.context import LoopContext
from tests.integration.console.conftest import NOW
from tests.support.http_servers import served
from tests.support.openid_providers import (
    grant,
    openid_provider,
    register_client,
    register_person,
)
from tests.support.places import free_port

ADDRESS = "http://127.0.0.1:8765"
ADA = "ada@hospital.example"
Serve = Callable[..., TestClient]


@pytest.fixture(scope="module")
def issuer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with openid_provider(tmp_path_factory.mktemp("provider") / "log") as issuer:
        register_person(issuer, "17", email=ADA, email_verified=True)
        register_person(issuer, "18", email="eve@hospital.example", email_verified=True)
        register_person(issuer, "19", email=ADA, email_verified=False)
        yield issuer


@pytest.fixture
def serve(context: LoopContext, issuer: str, tmp_path: Path) -> Serve:
    client_id, secret = register_client(issuer, f"{ADDRESS}/login/openid/callback")

    def start(*, secret: str = secret, **settings: Any) -> TestClient:
        file = tmp_path / "secret"
        file.write_text(secret + "\n")
        changed = load_settings(
            **{
                **context.settings.model_dump(),
                "console_address": ADDRESS,
                "openid_issuer": issuer,
                "openid_client": client_id,
                "openid_secret_file": file,
                **settings,
            }
        )
        loop = LoopContext(changed, context.urls, context.engine, context.params)
        app = create_app(loop, clock=lambda: NOW)
        return TestClient(app, base_url=ADDRESS, follow_redirects=False)

    return start


@pytest.fixture(autouse=True)
def ada(engine: Engine) -> None:
    """Ada may sign in at the provider; Bob has a password here."""
    local = Person("setup", "operator")
    with engine.begin() as connection:
        add_user(connection, ADA, "reviewer", password=None, by=local, now=NOW)
        add_user(connection, "bob", "viewer", password="correct horse", by=local, now=NOW)


def begun(client: TestClient, page: str = "/") -> str:
    """Begin to sign in; return the provider's address."""
    redirect = client.get("/login/openid", params={"next": page})
    assert redirect.status_code == 302, redirect.text
    return redirect.headers["location"]


def test_a_person_of_the_provider_signs_in(serve: Serve) -> None:
    client = serve()
    assert client.get("/").headers["location"] == "/login?next=%2F"
    link = 'href="/login/openid?next=%2Fc%2Forgan%2Freview"'
    assert link in client.get("/login?next=/c/organ/review").text

    asked = parse_qs(urlsplit(begun(client, "/c/organ/review")).query)
    assert asked["code_challenge_method"] == ["S256"]
    assert {"state", "nonce", "code_challenge"} <= asked.keys()

    back = client.get(grant(begun(client, "/c/organ/review"), "17"))
    assert (back.status_code, back.headers["location"]) == (303, "/c/organ/review")
    page = client.get("/").text
    assert ADA in page and "reviewer" in page and "Sign out" in page
    client.post("/logout")
    assert client.get("/").status_code == 303


@pytest.mark.parametrize(("sub", "claim"), [("18", "email"), ("19", "email"), ("bob", "sub")])
def test_nobody_else_of_the_provider_gets_in(serve: Serve, sub: str, claim: str) -> None:
    """A stranger, a claimed address, and a name that has a password here."""
    client = serve(openid_claim=claim)
    back = client.get(grant(begun(client), sub))
    assert back.status_code == 401
    assert COOKIE not in client.cookies and client.get("/").status_code == 303


def test_another_claim_may_name_people(serve: Serve, engine: Engine) -> None:
    with engine.begin() as connection:
        local = Person("setup", "operator")
        add_user(connection, "18", "viewer", password=None, by=local, now=NOW)
    client = serve(openid_claim="sub")
    assert client.get(grant(begun(client), "18")).status_code == 303
    assert client.get("/").status_code == 200


def test_what_was_not_begun_in_this_browser_is_refused(serve: Serve) -> None:
    callback = grant(begun(serve()), "17")
    assert serve().get(callback).status_code == 401


def test_a_code_of_somebody_else_is_refused(serve: Serve) -> None:
    """Eve smuggles her code into Ada's sign-in, whose nonce it does not carry."""
    ada, eve = serve(), serve()
    state = parse_qs(urlsplit(grant(begun(ada), "17")).query)["state"][0]
    code = parse_qs(urlsplit(grant(begun(eve), "17")).query)["code"][0]
    back = ada.get("/login/openid/callback", params={"code": code, "state": state})
    assert back.status_code == 401 and COOKIE not in ada.cookies


def test_a_callback_works_once(serve: Serve) -> None:
    client = serve()
    callback = grant(begun(client), "17")
    assert client.get(callback).status_code == 303
    client.cookies.delete(COOKIE)
    assert client.get(callback).status_code == 401


@pytest.mark.parametrize(
    "query", ["", "?code=x", "?code=x&state=y", "?error=access_denied", "?state=%00&code=%ff"]
)
def test_a_callback_without_sense_is_refused(serve: Serve, query: str) -> None:
    client = serve()
    begun(client)
    back = client.get(f"/login/openid/callback{query}")
    assert back.status_code == 401 and "Traceback" not in back.text


def test_a_wrong_client_secret_admits_nobody(serve: Serve) -> None:
    client = serve(secret="another secret")
    assert client.get(grant(begun(client), "17")).status_code == 401


def test_a_provider_that_is_away_is_named(serve: Serve) -> None:
    page = serve(openid_issuer=f"http://127.0.0.1:{free_port()}").get("/login/openid")
    assert page.status_code == 503 and "OpenID provider to answer" in page.text


@pytest.mark.parametrize("metadata", [{"issuer": "http://127.0.0.1:1"}, {}, [], "x"])
def test_a_provider_that_names_another_is_refused(serve: Serve, metadata: Any) -> None:
    def discovery(_: Request) -> JSONResponse:
        return JSONResponse(metadata)

    with served(Starlette(routes=[Route(DISCOVERY, discovery)])) as (host, port):
        page = serve(openid_issuer=f"http://{host}:{port}").get("/login/openid")
    assert page.status_code == 401


def test_without_a_provider_there_is_nothing_to_go_to(console: TestClient) -> None:
    for path in ("/login/openid", "/login/openid/callback?code=x&state=y"):
        assert console.get(path).status_code == 401


def test_a_secret_file_that_is_not_there_stops_the_start(serve: Serve, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="PERENNIAL_OPENID_SECRET_FILE"):
        serve(openid_secret_file=tmp_path / "missing")
