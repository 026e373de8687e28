"""Notices reach a real HTTP service through Apprise, each once."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from types import SimpleNamespace

import pytest
from pydantic import SecretStr
from sqlalchemy.engine import Engine
from typer.testing import CliRunner

import flows.notices as notices
from cli.app import app
from core.contracts import Verdict
from core.database import DatabaseUrls
from core.decisions import record_decision
from core.errors import SettingsError
from core.settings import Settings
from flows.notify import notify_completion, notify_due, notify_failure, open_services
from flows.pages.runs import PARTLY_FAILED

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
PHRASE = "a phrase of a client"


class Inbox:
    """A service that takes notices; while `closed` it answers 500."""

    def __init__(self) -> None:
        self.messages: list[dict[str, str]] = []
        self.closed = False
        self.url = ""

    @property
    def titles(self) -> list[str]:
        return [message["title"] for message in self.messages]


@pytest.fixture
def inbox() -> Iterator[Inbox]:
    box = Inbox()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(500 if box.closed else 200)
            self.end_headers()
            if not box.closed:
                box.messages.append(json.loads(body))

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        box.url = f"json://127.0.0.1:{server.server_address[1]}"
        yield box
        server.shutdown()


@pytest.fixture
def settings(session_settings: Settings, database: DatabaseUrls, inbox: Inbox) -> Settings:
    own = {"database_url": SecretStr(database.perennial), "notify": SecretStr(inbox.url)}
    return session_settings.model_copy(update=own)


def decide(
    engine: Engine, subject: str, kind: str, *, version: str = "2", at: datetime = NOW
) -> None:
    evidence = {"version": version, "novel_phrases": [PHRASE]}
    verdict = Verdict(kind, ("because of the numbers",), evidence)
    with engine.begin() as connection:
        record_decision(connection, verdict, classifier="block", subject=subject, decided_at=at)


@pytest.mark.parametrize(
    ("subject", "kind", "title", "page"),
    [
        (
            "drift",
            "drift",
            "block: the traffic drifts, a retraining follows",
            "/artifacts/key/drift-block",
        ),
        (
            "drift",
            "needs_labels",
            "block: the traffic drifts, and labels are wanted",
            "/artifacts/key/drift-block",
        ),
        ("gate", "reject", "block: version 2 is rejected", "/artifacts/key/verdict-block"),
        ("gate", "hold", "block: version 2 waits for a person", "/artifacts/key/verdict-block"),
        ("retraining", "failed", "block: it could not be trained", "/artifacts/key/verdict-block"),
        ("rollout", "refuse", "block: the service refuses version 2", "/#/models/block/versions/2"),
    ],
)
def test_a_decision_that_needs_people_is_notified_once_with_its_link(
    engine: Engine,
    settings: Settings,
    inbox: Inbox,
    subject: str,
    kind: str,
    title: str,
    page: str,
) -> None:
    decide(engine, subject, kind)
    notify_due(settings, now=NOW)
    notify_due(settings, now=NOW + timedelta(hours=1))
    [message] = inbox.messages
    assert message["title"] == title
    assert message["message"].startswith("because of the numbers")
    assert message["message"].rstrip().endswith(page)
    assert PHRASE not in json.dumps(message)


@pytest.mark.parametrize(
    ("subject", "kind"),
    [("drift", "steady"), ("gate", "promote"), ("gate", "keep"), ("retraining", "wait")],
)
def test_what_needs_nobody_is_not_notified(
    engine: Engine, settings: Settings, inbox: Inbox, subject: str, kind: str
) -> None:
    decide(engine, subject, kind)
    assert notify_due(settings, now=NOW) == []
    assert inbox.messages == []


def test_two_rejections_are_two_notices(engine: Engine, settings: Settings, inbox: Inbox) -> None:
    decide(engine, "gate", "reject", version="2")
    notify_due(settings, now=NOW)
    decide(engine, "gate", "reject", version="3")
    notify_due(settings, now=NOW)
    assert inbox.titles == ["block: version 2 is rejected", "block: version 3 is rejected"]


def test_a_notice_that_no_service_took_is_sent_later(
    engine: Engine, settings: Settings, inbox: Inbox
) -> None:
    decide(engine, "gate", "reject")
    inbox.closed = True
    assert notify_due(settings, now=NOW) == []
    inbox.closed = False
    notify_due(settings, now=NOW)
    assert inbox.titles == ["block: version 2 is rejected"]


def test_decisions_from_before_yesterday_are_not_notified(
    engine: Engine, settings: Settings, inbox: Inbox
) -> None:
    decide(engine, "gate", "reject", at=NOW - timedelta(days=2))
    assert notify_due(settings, now=NOW) == []


def test_a_full_disk_is_notified_once_and_again_after_it_had_room(
    engine: Engine, settings: Settings, inbox: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = 2**60
    for wanted in (full, full, 0, full):
        monkeypatch.setattr(notices, "LOW_DISK", wanted)
        notify_due(settings, now=NOW)
    assert inbox.titles == ["the disk is nearly full", "the disk is nearly full"]
    assert str(settings.home) in inbox.messages[0]["message"]


def test_a_journal_that_grows_is_notified_once(
    engine: Engine, settings: Settings, inbox: Inbox
) -> None:
    small = settings.model_copy(update={"journal_mb": 16})
    waiting = settings.home / "journal" / "waiting.jsonl"
    waiting.parent.mkdir(parents=True, exist_ok=True)
    waiting.write_bytes(b"x" * 5 * 2**20)
    try:
        notify_due(small, now=NOW)
        notify_due(small, now=NOW)
    finally:
        waiting.unlink()
    assert inbox.titles == ["the journal grows"]
    assert inbox.messages[0]["message"].startswith("5 MB of answers wait for the database")


def test_a_failed_run_is_notified_with_its_page_without_the_database(
    settings: Settings, inbox: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PERENNIAL_NOTIFY", inbox.url)
    monkeypatch.setenv("PERENNIAL_DATABASE_URL", "postgresql://nobody@127.0.0.1:1/none")
    run = SimpleNamespace(name="block: drift", id="0195")
    state = SimpleNamespace(name="Failed", message="StageFailed")
    notify_failure(SimpleNamespace(name="retrain"), run, state)
    [message] = inbox.messages
    assert message["title"] == "retrain failed: block: drift"
    assert message["message"].rstrip().endswith("/runs/flow-run/0195")


def test_a_run_of_which_a_part_failed_is_notified_once_with_its_record(
    engine: Engine,
    database: DatabaseUrls,
    settings: Settings,
    inbox: Inbox,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PERENNIAL_HOME", str(settings.home))
    monkeypatch.setenv("PERENNIAL_NOTIFY", inbox.url)
    monkeypatch.setenv("PERENNIAL_DATABASE_URL", database.perennial)
    decide(engine, "retraining", "failed", at=datetime.now(UTC))
    run = SimpleNamespace(name="block: manual, partly failed", id="0195")
    state = SimpleNamespace(name=PARTLY_FAILED, message="block: because of the numbers")
    for hook in (notify_failure, notify_failure, notify_completion):
        hook(SimpleNamespace(name="retrain"), run, state)
    assert inbox.titles == ["block: it could not be trained"]


def test_without_the_setting_nothing_is_sent_or_recorded(
    engine: Engine, settings: Settings, inbox: Inbox
) -> None:
    decide(engine, "gate", "reject")
    assert notify_due(settings.model_copy(update={"notify": None}), now=NOW) == []
    notify_due(settings, now=NOW)
    assert inbox.titles == ["block: version 2 is rejected"]


def test_a_url_that_apprise_does_not_know_is_refused_without_showing_it(
    settings: Settings, inbox: Inbox
) -> None:
    wrong = settings.model_copy(update={"notify": SecretStr(f"{inbox.url} nosuch://sEcr3t")})
    with pytest.raises(SettingsError, match="URL 2 of 2") as caught:
        open_services(wrong)
    assert "sEcr3t" not in str(caught.value)


def test_the_command_sends_a_test_message(inbox: Inbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PERENNIAL_NOTIFY", inbox.url)
    done = CliRunner().invoke(app, ["notify", "--test", "--json"])
    assert (done.exit_code, json.loads(done.stdout)) == (0, {"taken": [True]})
    assert inbox.titles == ["Perennial: a test"]
    inbox.closed = True
    assert CliRunner().invoke(app, ["notify", "--test"]).exit_code == 1


def test_the_command_without_services_says_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PERENNIAL_NOTIFY", raising=False)
    monkeypatch.setenv("DO_NOT_TRACK", "0")
    done = CliRunner().invoke(app, ["notify", "--test"])
    assert done.exit_code == 2
    assert "PERENNIAL_NOTIFY" in done.output
    assert os.environ["DO_NOT_TRACK"] == "true", "Prefect is imported without its telemetry"
