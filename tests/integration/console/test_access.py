"""Who may do what: signing in, roles, stolen sessions, foreign sites, a refused start."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict
from datetime import datetime, timedelta
from functools import cache
from typing import Any

import pytest
import sqlalchemy as sa
from axe_playwright_python.sync_playwright import Axe
from fastapi import APIRouter, FastAPI
from fastapi.routing import APIRoute
from playwright.sync_api import expect
from sqlalchemy.engine import Engine
from starlette.testclient import TestClient

from console.access.changes import record_change
from console.access.passwords import hash_password
from console.access.people import Operator, Person, Reviewer, Viewer, local_person
from console.access.sessions import LIFETIME, Session, Sessions
from console.access.sign_in import COOKIE, require_sign_in_beyond_loopback
from console.access.users import (
    add_user,
    find_user,
    list_users,
    remove_user,
    set_password,
    set_role,
)
from console.app import create_app
from console.state import State
from core.deployments import append_deployment
from core.errors import PersonRefused, SettingsError, UsersNeeded
from core.settings import load_settings
from core.tables.console import console_change, console_user
from core.tables.loop import inference as inference_table
from flows.context import LoopContext
from tests.integration.console.conftest import NOW
from tests.support.browsers import chromium, needs_chromium
from tests.support.heads import champion, store_head
from tests.support.inferences import inference

PASSWORD = "correct horse battery"
LOCAL = Person("setup", "operator")
router = APIRouter()


@router.get("/api/asked/viewer")
def asked_viewer(person: Viewer) -> str:
    return person.name


@router.post("/api/asked/reviewer")
def asked_reviewer(person: Reviewer, state: State) -> str:
    with state.changing() as connection:
        record_change(
            connection, person, what="label", subject="item 1", after={"label": "x"}, now=NOW
        )
    return person.name


@router.post("/api/asked/operator")
def asked_operator(person: Operator) -> str:
    return person.name


Serve = Callable[..., TestClient]


@pytest.fixture
def serve(context: LoopContext) -> Serve:
    """Start a console with other settings or another clock, and three pages of the roles."""

    def start(*, clock: Callable[[], datetime] = lambda: NOW, **settings: Any) -> TestClient:
        changed = load_settings(**{**context.settings.model_dump(), **settings})
        loop = LoopContext(changed, context.urls, context.engine, context.params)
        app = create_app(loop, clock=clock)
        app.include_router(router)
        return TestClient(app, base_url="http://127.0.0.1", follow_redirects=False)

    return start


@pytest.fixture
def people(engine: Engine) -> None:
    """A viewer, a reviewer and an operator with one password, hashed once per session."""
    with engine.begin() as connection:
        for name, role in (("vera", "viewer"), ("rita", "reviewer"), ("olga", "operator")):
            add_user(
                connection,
                name,
                role,  # type: ignore[arg-type]
                password=None,
                by=LOCAL,
                now=NOW,
            )
        connection.execute(console_user.update().values(password=hashed()))


@cache
def hashed() -> str:
    return hash_password(PASSWORD)


def signed_in(client: TestClient, name: str, password: str = PASSWORD) -> TestClient:
    page = client.post("/login", data={"name": name, "password": password})
    assert page.status_code == 303, page.text
    return client


def test_on_loopback_without_users_one_works_under_the_name_of_the_system(serve: Serve) -> None:
    client = serve()
    assert client.get("/api/asked/viewer").json() == local_person().name
    assert client.post("/api/asked/operator").json() == local_person().name
    assert "Sign out" not in client.get("/").text


@pytest.mark.usefixtures("people")
def test_with_users_pages_are_closed_to_strangers(serve: Serve) -> None:
    client = serve()
    page = client.get("/?a=b")
    assert (page.status_code, page.headers["location"]) == (303, "/login?next=%2F%3Fa%3Db")
    assert client.get("/api/asked/viewer").status_code == 401
    assert client.get("/api/asked/viewer").json()["error"]["code"] == "sign_in_needed"
    part = client.get("/", headers={"hx-request": "true"})
    assert (part.status_code, part.headers["hx-redirect"]) == (401, "/login")
    assert client.get("/livez").status_code == 200
    assert client.get("/static/console.css").status_code == 200


@pytest.mark.usefixtures("people")
def test_every_page_but_the_form_is_closed_to_strangers(serve: Serve) -> None:
    client = serve()
    public = {"/livez", "/login", "/login/openid", "/login/openid/callback"}
    routes = [route for route in all_routes(client) if route.path not in public]
    assert {"/", "/logout"} <= {route.path for route in routes}
    for route in routes:
        path = re.sub(r"\{[^}]+\}", "1", route.path)
        for method in route.methods or ():
            answer = client.request(method, path)
            assert answer.status_code in (303, 401), path
            assert answer.headers.get("location", "/login").startswith("/login"), path


def all_routes(client: TestClient) -> list[APIRoute]:
    def flat(routes: Iterable[Any]) -> Iterator[Any]:
        for route in routes:
            included = getattr(route, "original_router", None)
            yield from flat(included.routes) if included else [route]

    app: FastAPI = client.app  # type: ignore[assignment]
    return [route for route in flat(app.routes) if isinstance(route, APIRoute)]


def test_whatever_changes_something_asks_for_more_than_a_viewer(serve: Serve) -> None:
    """All but signing in and out, and what computes and changes nothing."""
    answer = "/c/{classifier}/answers/{request_id}"
    free = {"/login", "/logout", f"{answer}/replay", f"{answer}/why"}
    changing = [
        route
        for route in all_routes(serve())
        if not (route.methods or set()) & {"GET", "HEAD"} and route.path not in free
    ]
    assert len(changing) >= 2
    for route in changing:
        checks = [str(dependency.call) for dependency in route.dependant.dependencies]
        assert any("_at_least" in check for check in checks), route.path


@pytest.mark.usefixtures("people")
def test_signing_in_goes_on_to_the_page_that_was_asked_for(serve: Serve) -> None:
    client = serve()
    sent = {"name": " vera ", "password": PASSWORD, "next": "/c/organ/drift?a=b"}
    page = client.post("/login", data=sent)
    assert (page.status_code, page.headers["location"]) == (303, "/c/organ/drift?a=b")
    cookie = page.headers["set-cookie"]
    assert "HttpOnly" in cookie and "SameSite=lax" in cookie and "Secure" not in cookie
    assert client.get("/api/asked/viewer").json() == "vera"
    assert client.get("/login").headers["location"] == "/"
    elsewhere = client.post("/login", data={**sent, "next": "//evil.example"})
    assert elsewhere.headers["location"] == "/"
    assert "Sign out" in client.get("/").text and "vera" in client.get("/").text


@pytest.mark.usefixtures("people")
def test_behind_https_the_cookie_stays_on_https(serve: Serve) -> None:
    client = serve(console_address="https://console.example")
    page = client.post(
        "/login",
        data={"name": "vera", "password": PASSWORD},
        headers={"host": "console.example", "origin": "https://console.example"},
    )
    assert page.status_code == 303 and "Secure" in page.headers["set-cookie"]


@pytest.mark.usefixtures("people")
@pytest.mark.parametrize(
    ("name", "password"),
    [
        *(("vera", PASSWORD + "x"), ("nobody", PASSWORD), ("", ""), ("vera", "")),
        *(("VERA", PASSWORD), ("ve\0ra", PASSWORD), ("x" * 5000, "y" * 5000), ("\ud83d", "é")),
    ],
)
def test_a_wrong_name_and_a_wrong_password_look_alike(
    serve: Serve, name: str, password: str
) -> None:
    sent = {"name": name.encode("utf-8", "surrogatepass"), "password": password}
    page = serve().post("/login", data=sent)
    assert page.status_code == 401 and "set-cookie" not in page.headers
    assert "Name and password do not belong together" in page.text


@pytest.mark.usefixtures("people")
def test_each_role_may_do_what_the_one_before_it_may(serve: Serve) -> None:
    paths = ("/api/asked/reviewer", "/api/asked/operator")
    for name, statuses in (("vera", [403, 403]), ("rita", [200, 403]), ("olga", [200, 200])):
        client = signed_in(serve(), name)
        assert client.get("/api/asked/viewer").status_code == 200
        assert [client.post(path).status_code for path in paths] == statuses
    refusal = signed_in(serve(), "vera").post("/api/asked/operator").json()["error"]
    assert refusal["code"] == "role_needed"
    assert "perennial users role vera operator" in refusal["message"]


@pytest.mark.usefixtures("people")
def test_only_operators_pin(serve: Serve) -> None:
    asked = {"phrase": "a", "why": "ticket"}
    for name, statuses in (("vera", {403}), ("rita", {403}), ("olga", {404})):  # no champion yet
        client = signed_in(serve(), name)
        assert client.get("/api/organ/pins").status_code == 200
        responses = [
            client.post("/api/organ/pins", json=asked | {"label": "heart"}),
            client.post("/api/organ/pins/end", json=asked),
        ]
        assert {response.status_code for response in responses} == statuses


@pytest.mark.usefixtures("people")
def test_nobody_is_offered_what_they_may_not_do(
    serve: Serve, context: LoopContext, engine: Engine
) -> None:
    model = store_head(context.settings.home, "organ", "1")
    with engine.begin() as connection:
        append_deployment(connection, champion(model))
        connection.execute(inference_table.insert(), [asdict(inference(1))])
    answer, versions = "/c/organ/answers/request-1", "/c/organ/versions"
    offers = {
        "review": (answer, '<a href="/c/organ/review"'),
        "tasks": (answer, '<a href="/c/organ/tasks"'),
        "label": (answer, "Store the label"),
        "pin": (answer, "Pin this phrase"),
        "roll back": (versions, "Change who answers"),
    }
    by_reviewers = {"review", "tasks", "label"}
    for name, offered in (("vera", set()), ("rita", by_reviewers), ("olga", set(offers))):
        client = signed_in(serve(), name)
        pages = {path: client.get(path).text for path in (answer, versions)}
        assert {what for what, (path, text) in offers.items() if text in pages[path]} == offered
    first = signed_in(serve(), "vera").get("/").text
    assert '<a href="/c/organ/answers">organ</a>' in first


@pytest.mark.usefixtures("people")
def test_a_change_is_recorded_under_the_name_of_who_signed_in(serve: Serve, engine: Engine) -> None:
    signed_in(serve(), "rita").post("/api/asked/reviewer")
    with engine.connect() as connection:
        query = sa.select(console_change).order_by(console_change.c.id.desc()).limit(1)
        row = connection.execute(query).one()
    assert (row.person, row.what, row.subject, row.after) == (
        "rita",
        "label",
        "item 1",
        {"label": "x"},
    )


@pytest.mark.usefixtures("people")
def test_a_forged_or_altered_session_is_nobodys(serve: Serve, engine: Engine) -> None:
    client = signed_in(serve(), "olga")
    cookie = client.cookies[COOKIE]
    with engine.connect() as connection:
        olga = find_user(connection, "olga")
        vera = find_user(connection, "vera")
    assert olga and vera
    forged = Sessions(b"another secret" * 4).write(Session("olga", olga.session_key, NOW))
    payload, _, signature = cookie.rpartition(".")
    other = Sessions(b"s" * 32).write(Session("vera", vera.session_key, NOW)).rpartition(".")[0]
    for stolen in (forged, payload, f"{other}.{signature}", f"{payload}.", "", "é", "a.b.c"):
        thief = serve()
        answer = thief.get("/api/asked/viewer", headers={"cookie": f"{COOKIE}={stolen}".encode()})
        assert answer.status_code == 401, stolen
    assert client.get("/api/asked/viewer").status_code == 200


@pytest.mark.usefixtures("people")
def test_a_session_expires(serve: Serve) -> None:
    moment = NOW
    client = signed_in(serve(clock=lambda: moment), "vera")
    moment = NOW + LIFETIME - timedelta(seconds=1)
    assert client.get("/api/asked/viewer").status_code == 200
    moment = NOW + LIFETIME
    assert client.get("/api/asked/viewer").status_code == 401


@pytest.mark.usefixtures("people")
def test_signing_out_ends_copies_of_the_cookie(serve: Serve) -> None:
    client = signed_in(serve(), "vera")
    copy = {"cookie": f"{COOKIE}={client.cookies[COOKIE]}"}
    thief = serve()
    assert thief.get("/api/asked/viewer", headers=copy).status_code == 200
    assert client.post("/logout").headers["location"] == "/login"
    assert COOKIE not in client.cookies
    assert thief.get("/api/asked/viewer", headers=copy).status_code == 401


@pytest.mark.usefixtures("people")
def test_a_removed_user_and_a_new_password_end_sessions(serve: Serve, engine: Engine) -> None:
    vera, rita = signed_in(serve(), "vera"), signed_in(serve(), "rita")
    with engine.begin() as connection:
        remove_user(connection, "vera", by=LOCAL, now=NOW)
        set_password(connection, "rita", "another good password", by=LOCAL, now=NOW)
        set_role(connection, "olga", "viewer", by=LOCAL, now=NOW)
    assert vera.get("/api/asked/viewer").status_code == 401
    assert rita.get("/api/asked/viewer").status_code == 401
    with engine.begin() as connection:
        add_user(connection, "vera", "viewer", password=PASSWORD, by=LOCAL, now=NOW)
    assert vera.get("/api/asked/viewer").status_code == 401
    assert signed_in(serve(), "rita", "another good password")


@pytest.mark.usefixtures("people")
def test_another_role_counts_from_the_next_request(serve: Serve, engine: Engine) -> None:
    client = signed_in(serve(), "olga")
    with engine.begin() as connection:
        set_role(connection, "olga", "viewer", by=LOCAL, now=NOW)
    assert client.post("/api/asked/operator").status_code == 403


@pytest.mark.usefixtures("people")
def test_attempts_are_limited_also_for_the_right_password(serve: Serve) -> None:
    moment = NOW
    client = serve(clock=lambda: moment)
    wrong = {"name": "vera", "password": "not this one"}
    statuses = [client.post("/login", data=wrong).status_code for _ in range(11)]
    assert statuses == [401] * 10 + [429]
    right = {"name": "vera", "password": PASSWORD}
    page = client.post("/login", data=right)
    assert page.status_code == 429 and "try again in 10 minutes" in page.text
    assert client.post("/login", data={**right, "name": "rita"}).status_code == 303
    moment = NOW + timedelta(minutes=10)
    assert client.post("/login", data=right).status_code == 303


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://evil.example"},
        {"origin": "http://127.0.0.1:9999"},
        {"origin": "null"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site", "origin": "http://127.0.0.1"},
    ],
)
def test_posts_of_other_sites_are_refused(
    serve: Serve, headers: dict[str, str], engine: Engine
) -> None:
    client = serve()
    for path in ("/api/asked/reviewer", "/login", "/logout"):
        assert client.post(path, headers=headers).status_code == 403
    with engine.connect() as connection:
        assert connection.scalar(sa.select(sa.func.count()).select_from(console_change)) == 0
    assert client.post("/api/asked/reviewer").status_code == 200


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:8500", "127.0.0.1.evil.example", "10.1.2.3", "", "[", "@"],
)
def test_a_name_bound_to_our_address_is_refused(serve: Serve, host: str) -> None:
    answer = serve().get("/", headers={"host": host})
    assert answer.status_code == 400
    assert "default-src 'self'" in answer.headers["content-security-policy"]


def test_the_names_of_the_settings_are_ours(serve: Serve) -> None:
    for host in ("127.0.0.1:8500", "localhost", "[::1]:8500"):
        assert serve().get("/livez", headers={"host": host}).status_code == 200
    public = serve(host="0.0.0.0", console_address="https://Console.example")
    for host in ("console.example", "10.1.2.3:8500", "[fd00::1]:8500"):
        assert public.get("/livez", headers={"host": host}).status_code == 200
    assert public.get("/livez", headers={"host": "other.example"}).status_code == 400


def test_a_public_console_has_no_local_person(serve: Serve) -> None:
    assert serve(host="0.0.0.0").get("/api/asked/viewer").status_code == 401
    behind_a_proxy = serve(console_address="https://console.example")
    assert behind_a_proxy.get("/api/asked/viewer").status_code == 401


def test_a_public_console_without_people_does_not_start(engine: Engine) -> None:
    public = load_settings(host="0.0.0.0")
    with engine.begin() as connection:
        require_sign_in_beyond_loopback(connection, load_settings())
        for settings in (public, load_settings(console_address="https://console.example")):
            with pytest.raises(UsersNeeded, match="perennial users add"):
                require_sign_in_beyond_loopback(connection, settings)
        add_user(connection, "ada", "viewer", password=PASSWORD, by=LOCAL, now=NOW)
        require_sign_in_beyond_loopback(connection, public)


def test_a_provider_needs_to_know_where_people_come_from(engine: Engine) -> None:
    provider = {"openid_issuer": "https://p", "openid_client": "c", "openid_secret_file": "f"}
    with engine.connect() as connection:
        require_sign_in_beyond_loopback(connection, load_settings(host="10.1.2.3", **provider))
        with pytest.raises(SettingsError, match="PERENNIAL_CONSOLE_ADDRESS"):
            require_sign_in_beyond_loopback(connection, load_settings(host="::", **provider))


@pytest.mark.parametrize(
    "how",
    [
        lambda connection: add_user(connection, "ada", "viewer", password="x", by=LOCAL, now=NOW),
        lambda connection: add_user(connection, " ", "viewer", password=None, by=LOCAL, now=NOW),
        lambda connection: add_user(
            connection,
            "a\n",
            "king",  # type: ignore[arg-type]
            password=None,
            by=LOCAL,
            now=NOW,
        ),
        lambda connection: add_user(
            connection, "a\x00b", "viewer", password=None, by=LOCAL, now=NOW
        ),
        lambda connection: remove_user(connection, "nobody", by=LOCAL, now=NOW),
        lambda connection: set_role(connection, "nobody", "viewer", by=LOCAL, now=NOW),
        lambda connection: set_password(connection, "nobody", PASSWORD, by=LOCAL, now=NOW),
    ],
)
def test_people_that_cannot_be_are_refused(engine: Engine, how: Callable[[Any], None]) -> None:
    with engine.begin() as connection:
        with pytest.raises(PersonRefused):
            how(connection)
        assert list_users(connection) == []


@pytest.mark.usefixtures("people")
def test_what_happens_to_people_is_recorded_without_their_secrets(engine: Engine) -> None:
    with engine.begin() as connection:
        with pytest.raises(PersonRefused, match="a new name"):
            add_user(connection, "vera", "viewer", password=PASSWORD, by=LOCAL, now=NOW)
        set_role(connection, "vera", "reviewer", by=LOCAL, now=NOW)
        set_password(connection, "vera", "another good password", by=LOCAL, now=NOW)
        remove_user(connection, "vera", by=LOCAL, now=NOW)
        changes = connection.execute(
            sa.select(console_change).where(console_change.c.subject == "vera")
        ).all()
        stored = str(changes) + str(connection.execute(sa.select(console_user)).all())
    assert [(row.what, row.before, row.after, row.person) for row in changes] == [
        ("add user", {}, {"role": "viewer", "signs_in": "openid"}, "setup"),
        ("change role", {"role": "viewer"}, {"role": "reviewer"}, "setup"),
        ("change password", {}, {}, "setup"),
        ("remove user", {"role": "reviewer"}, {}, "setup"),
    ]
    assert PASSWORD not in stored and "another good" not in stored


def test_a_body_that_is_too_long_is_refused(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("console.security.LARGEST_BODY", 1000)
    client = serve()
    assert client.post("/login", data={"name": "x" * 2000}).status_code == 413
    chunks = (b"name=" + b"x" * 300 for _ in range(10))
    form = {"content-type": "application/x-www-form-urlencoded"}
    assert client.post("/login", content=chunks, headers=form).status_code == 413
    assert client.post("/login", content=b"", headers={"content-length": "-1"}).status_code == 413


class TestInChromium:
    pytestmark = needs_chromium

    @pytest.mark.usefixtures("people")
    @pytest.mark.parametrize("width", [400, 1600])
    def test_one_signs_in_and_out_by_keyboard(self, console_url: str, width: int) -> None:
        with chromium(width=width) as browser:
            page = browser.new_page()
            page.goto(f"{console_url}/c/organ/tasks")
            expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
            found = Axe().run(page).response["violations"]
            assert [each["id"] for each in found if each["impact"] in ("serious", "critical")] == []
            seen, wanted = page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
            assert seen <= wanted

            expect(page.get_by_label("Name")).to_be_focused()
            page.keyboard.type("rita")
            page.keyboard.press("Tab")
            page.keyboard.type("not her password")
            page.keyboard.press("Enter")
            expect(page.get_by_role("alert")).to_contain_text("do not belong together")

            page.get_by_label("Name").fill("rita")
            page.get_by_label("Password").fill(PASSWORD)
            page.keyboard.press("Enter")
            expect(page.get_by_role("heading", name="Label in another tool")).to_be_visible()
            page.get_by_role("button", name="Sign out").press("Enter")
            expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
            page.goto(f"{console_url}/c/organ/tasks")
            expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
