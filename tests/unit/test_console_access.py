"""Sessions, attempts to sign in, names of hosts and pages: without a database."""

from __future__ import annotations

import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.datastructures import Headers

from console.access.attempts import KEPT, PER_ADDRESS, PER_NAME, WITHIN, Attempts
from console.access.openid import claimed_name
from console.access.passwords import hash_password, verify_password
from console.access.sessions import LIFETIME, Session, Sessions, signing_secret
from console.access.sign_in import is_local
from console.pages.login import own_path
from console.security import is_foreign
from core.errors import PersonRefused, SettingsError, SignInRefused, TooManyAttempts
from core.settings import load_settings

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
SECRET = b"s" * 32
moments = st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))


@given(st.text(), st.text(), moments)
def test_a_session_is_read_as_it_was_written(name: str, key: str, moment: datetime) -> None:
    session = Session(name, key, moment.replace(microsecond=0))
    sessions = Sessions(SECRET)
    assert sessions.read(sessions.write(session), now=moment) == session


@given(st.data())
def test_an_altered_session_is_nobodys(data: st.DataObject) -> None:
    cookie = Sessions(SECRET).write(Session("ada", "key", NOW))
    place = data.draw(st.integers(0, len(cookie) - 1))
    other = data.draw(st.characters(codec="ascii").filter(lambda letter: letter != cookie[place]))
    altered = cookie[:place] + other + cookie[place + 1 :]
    read = Sessions(SECRET).read(altered, now=NOW)
    # The last letter of a signature carries bits that base64 does not use.
    assert read is None or (place == len(cookie) - 1 and read == Session("ada", "key", NOW))


@given(st.text())
def test_any_other_text_is_nobodys_session(text: str) -> None:
    assert Sessions(SECRET).read(text, now=NOW) is None


def test_a_session_of_another_secret_or_another_time_is_nobodys() -> None:
    cookie = Sessions(b"t" * 32).write(Session("ada", "key", NOW))
    assert Sessions(SECRET).read(cookie, now=NOW) is None
    sessions = Sessions(SECRET)
    cookie = sessions.write(Session("ada", "key", NOW))
    assert sessions.read(cookie, now=NOW + LIFETIME - timedelta(seconds=1))
    assert sessions.read(cookie, now=NOW + LIFETIME) is None
    assert sessions.read(cookie, now=NOW - timedelta(hours=1)) is None


def test_the_secret_of_a_home_is_private_and_stays(tmp_path: Path) -> None:
    secret = signing_secret(tmp_path)
    assert len(secret) == 32 and signing_secret(tmp_path) == secret
    assert stat.S_IMODE((tmp_path / "console-secret").stat().st_mode) == 0o600
    (tmp_path / "console-secret").write_bytes(b"")
    assert signing_secret(tmp_path) not in (secret, b"")


def test_attempts_are_limited_per_name_and_forgotten_with_time() -> None:
    attempts = Attempts()
    for number in range(PER_NAME):
        attempts.admit("ada", f"10.0.0.{number}", now=NOW)
    with pytest.raises(TooManyAttempts, match="10 minutes"):
        attempts.admit("ada", "10.0.1.1", now=NOW + timedelta(seconds=1))
    attempts.admit("bob", "10.0.1.1", now=NOW)
    attempts.admit("ada", "10.0.1.1", now=NOW + WITHIN)


def test_attempts_are_limited_per_address() -> None:
    attempts = Attempts()
    for number in range(PER_ADDRESS):
        attempts.admit(f"name {number}", "10.0.0.1", now=NOW)
    with pytest.raises(TooManyAttempts):
        attempts.admit("ada", "10.0.0.1", now=NOW)


def test_who_signs_in_may_go_on() -> None:
    attempts = Attempts()
    for _ in range(10 * PER_NAME):
        attempts.admit("ada", "10.0.0.1", now=NOW)
        attempts.succeeded("ada", "10.0.0.1")


def test_names_that_strangers_invent_take_bounded_memory() -> None:
    attempts = Attempts()
    for number in range(KEPT + 1000):
        attempts.admit(f"name {number}", f"address {number}", now=NOW)
    assert len(attempts._moments) <= KEPT + 2


def test_a_password_is_verified_and_easy_ones_are_refused() -> None:
    stored = hash_password("five random words here")
    assert "random" not in stored and stored.startswith("$argon2id$")
    assert verify_password(stored, "five random words here")
    assert not verify_password(stored, "five random words her")
    assert not verify_password(None, "five random words here")
    assert not verify_password("not a hash", "five random words here")
    for refused in ("short", "x" * 1001):
        with pytest.raises(PersonRefused, match="12 to 1000"):
            hash_password(refused)


@pytest.mark.parametrize(
    ("page", "goes_to"),
    [
        *(("/c/organ/review?x=1", "/c/organ/review?x=1"), ("/", "/")),
        *(("//evil.example", "/"), ("https://evil.example", "/"), ("javascript:alert(1)", "/")),
        *(("/\\evil.example", "/"), ("", "/"), ("review", "/"), ("/a\r\nset-cookie: x", "/")),
        *(("//[", "/"), ("///evil.example", "/")),
    ],
)
def test_after_signing_in_one_stays_here(page: str, goes_to: str) -> None:
    assert own_path(page) == goes_to


@pytest.mark.parametrize(
    ("headers", "foreign"),
    [
        ({}, False),
        ({"origin": "http://127.0.0.1:8500"}, False),
        ({"origin": "https://console.example"}, False),
        ({"origin": "http://127.0.0.1:9999"}, True),
        ({"origin": "http://evil.example"}, True),
        ({"origin": "null"}, True),
        ({"origin": "http://[evil"}, True),
        ({"sec-fetch-site": "cross-site"}, True),
        ({"sec-fetch-site": "same-site"}, True),
        ({"sec-fetch-site": "same-origin", "origin": "http://127.0.0.1:8500"}, False),
    ],
)
def test_changes_come_from_our_pages(headers: dict[str, str], foreign: bool) -> None:
    sent = Headers({"host": "127.0.0.1:8500", **headers})
    assert is_foreign(sent, {"console.example"}) is foreign


@pytest.mark.parametrize(
    ("settings", "local"),
    [
        ({}, True),
        ({"host": "::1"}, True),
        ({"host": "0.0.0.0"}, False),
        ({"host": "10.1.2.3"}, False),
        ({"console_address": "https://console.example"}, False),
        ({"console_address": "http://localhost:8500"}, True),
    ],
)
def test_a_proxy_makes_a_console_public(settings: dict[str, str], local: bool) -> None:
    assert is_local(load_settings(**settings)) is local


@pytest.mark.parametrize(
    "claims",
    [
        *({}, {"email": ""}, {"email": 7, "email_verified": True}),
        *({"email": "ada@x"}, {"email": "ada@x", "email_verified": "true"}),
    ],
)
def test_an_address_that_nobody_verified_names_nobody(claims: dict[str, object]) -> None:
    with pytest.raises(SignInRefused):
        claimed_name(claims, "email")
    assert claimed_name({"email": "ada@x", "email_verified": True}, "email") == "ada@x"
    assert claimed_name({"sub": "17"}, "sub") == "17"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"openid_issuer": "http://provider.example"}, "PERENNIAL_OPENID_ISSUER.*https"),
        ({"openid_issuer": "https://provider.example"}, "PERENNIAL_OPENID_CLIENT"),
        ({"openid_issuer": "https://p", "openid_client": "c"}, "PERENNIAL_OPENID_SECRET_FILE"),
        ({"console_address": "console.example"}, "PERENNIAL_CONSOLE_ADDRESS"),
        ({"console_address": "https://console.example/path"}, "PERENNIAL_CONSOLE_ADDRESS"),
        ({"console_address": "https://ada:x@console.example"}, "PERENNIAL_CONSOLE_ADDRESS"),
        ({"console_address": "https://[:x"}, "PERENNIAL_CONSOLE_ADDRESS"),
        ({"openid_claim": "a b"}, "PERENNIAL_OPENID_CLAIM"),
    ],
)
def test_settings_that_let_nobody_in_are_refused(settings: dict[str, str], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        load_settings(**settings)
