"""Two groups of classifiers, each with its bento, process and port; one embedder and database."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx
import psutil
import pytest
from sqlalchemy.engine import make_url

from bentos.inference_log.journal import Journal, JournalCounts
from bentos.packaging.cold_heads import read_cold_heads
from core.database import connect, open_database
from core.deployments import append_deployment
from core.params.schema import load_params
from core.settings import REPOSITORY, load_settings
from flows.candidates.packaging import package_champions
from flows.context import LoopContext
from machine.health import is_ready
from machine.programs import further_services, list_programs
from monitoring.labels.pinning import WantedPin, add_pin
from tests.support.embedders import build_tiny_embedder
from tests.support.heads import EMBEDDER_ID, champion, store_head
from tests.support.inferences import row
from tests.support.places import free_row
from tests.support.processes import wait_until
from tests.support.services import House

PINNED = "pinned before the build"
ORGAN = 1
CHAPTER = 2


@pytest.fixture(scope="module")
def pair() -> Iterator[House]:
    """`organ` is in group 1, `chapter` in group 2; a former group 3 has left a row behind."""
    with TemporaryDirectory(prefix="pair-", ignore_cleanup_errors=True) as folder:
        home = Path(folder)
        settings = load_settings(
            home=home,
            database_url=None,
            service_port=free_row(2),
            log_format="json",
            bentos="organ;chapter",
        )
        build_tiny_embedder(settings.embedders / EMBEDDER_ID)
        leave_a_row(home / "journal-3")
        with open_database(settings) as urls:
            sockets = str(make_url(urls.perennial).query["host"])
            engine = connect(urls.perennial)
            with engine.begin() as connection:
                for name in ("organ", "chapter"):
                    append_deployment(connection, champion(store_head(home, name, "1")))
                wanted = WantedPin("organ", PINNED, "liver", "anna", "before the build")
                add_pin(connection, wanted, labels=["liver"], now=datetime.now(UTC))
            loop = LoopContext(settings, urls, engine, load_params(REPOSITORY / "params.yaml"))
            tag = package_champions(loop, EMBEDDER_ID, version="1")
            house = House(settings, engine, home / "postgres", sockets, urls.perennial, tag, {})
            try:
                house.start_service()
                yield house
            finally:
                house.stop_service()
                house.engine.dispose()
                house.stop_database()


def leave_a_row(folder: Path) -> None:
    with closing(Journal(folder, counts=JournalCounts())) as journal:
        journal.append([row(1, classifier="lung")])


@pytest.fixture
def clients(pair: House) -> Iterator[list[httpx.Client]]:
    """One for each group."""
    pair.ensure_service()
    urls = [pair.settings.group_url(number) for number in (ORGAN, CHAPTER)]
    with (
        httpx.Client(base_url=urls[0], timeout=30) as first,
        httpx.Client(base_url=urls[1], timeout=30) as second,
    ):
        for one in (first, second):
            wait_until(partial(answers_ready, one), seconds=120, what="both groups ready")
        yield [first, second]


def answers_ready(client: httpx.Client) -> bool:
    try:
        return client.get("/readyz").status_code == 200
    except httpx.HTTPError:
        return False


def classify(client: httpx.Client, classifier: str, phrase: str) -> httpx.Response:
    return client.post(f"/v1/{classifier}/predict", json={"phrase": phrase})


def test_each_bento_holds_the_heads_of_its_group(pair: House) -> None:
    bentos = pair.settings.home / "bentoml" / "bentos"
    packed = {
        name: [model.classifier for model in read_cold_heads(bentos / name / "1" / "src" / "cold")]
        for name in ("perennial", "perennial-2")
    }
    assert (pair.tag, packed) == (
        "perennial:1",
        {"perennial": ["organ"], "perennial-2": ["chapter"]},
    )


def test_each_group_answers_for_its_own_and_names_them(clients: list[httpx.Client]) -> None:
    for client, own, other in ((clients[0], "organ", "chapter"), (clients[1], "chapter", "organ")):
        assert [
            one["classifier"] for one in client.get("/v1/classifiers").json()["classifiers"]
        ] == [own]
        assert classify(client, own, "heart").json()["classifier"] == own
        refused = classify(client, other, "heart")
        assert (refused.status_code, own in refused.json()["message"]) == (404, True)


def test_one_embedder_computes_a_phrase_once_for_both(
    pair: House, clients: list[httpx.Client]
) -> None:
    assert (len(pair.workers("Embedder")), len(pair.workers("Classifier"))) == (1, 2)
    first = classify(clients[0], "organ", "a femur for two")
    second = classify(clients[1], "chapter", "a femur for two")
    assert (first.json()["cached"], second.json()["cached"]) == (False, True)


def test_both_log_into_one_table_and_what_a_former_group_left_is_shipped(
    pair: House, clients: list[httpx.Client]
) -> None:
    ids = {
        classify(clients[0], "organ", "a").json()["request_id"],
        classify(clients[1], "chapter", "a").json()["request_id"],
    }
    wait_until(
        lambda: ids | {"request-1"} <= pair.logged_ids(), seconds=60, what="three rows in the table"
    )
    assert "perennial_journal_waiting 0.0" in clients[1].get("/metrics").text


def test_a_promotion_reaches_the_group_of_its_classifier(
    pair: House, clients: list[httpx.Client]
) -> None:
    with pair.engine.begin() as connection:
        append_deployment(connection, champion(store_head(pair.settings.home, "chapter", "2")))
    wait_until(
        lambda: classify(clients[1], "chapter", "a").json()["version"] == "2",
        seconds=60,
        what="version 2 of chapter",
    )
    assert [one["version"] for one in clients[0].get("/v1/classifiers").json()["classifiers"]] == [
        "1"
    ]


def test_a_killed_process_of_one_group_costs_the_other_nothing_and_is_back(
    pair: House, clients: list[httpx.Client]
) -> None:
    [second] = [
        one for one in pair.workers("Classifier") if one.environ()["PERENNIAL_BENTO"] == "2"
    ]
    second.kill()
    assert classify(clients[0], "organ", "asked meanwhile").status_code == 200
    with httpx.Client(base_url=pair.settings.group_url(CHAPTER), timeout=120) as again:
        assert classify(again, "chapter", "asked of the new one").status_code == 200


def test_the_machine_knows_both(pair: House, clients: list[httpx.Client]) -> None:
    [service] = [program for program in list_programs(pair.settings) if program.name == "service"]
    [second] = further_services(pair.settings)
    assert is_ready(pair.settings, service, pair.supervisor.pid) and is_ready(
        pair.settings, second, pair.supervisor.pid
    )
    listening = {
        one.laddr.port
        for process in (
            pair.supervisor,
            *pair.supervisor.children(recursive=True),
        )
        for one in process.net_connections("tcp")
        if one.status == psutil.CONN_LISTEN
    }
    assert listening == {service.port, second.port}


def test_both_end_together_and_leave_empty_journals(
    pair: House, clients: list[httpx.Client]
) -> None:
    last = {
        classify(clients[0], "organ", "last").json()["request_id"],
        classify(clients[1], "chapter", "last").json()["request_id"],
    }
    family = pair.supervisor.children(recursive=True)
    pair.stop_service()
    assert last <= pair.logged_ids()
    files = [path for journal in pair.settings.journals for path in journal.rglob("*")]
    assert [path for path in files if path.is_file() and path.stat().st_size] == []
    assert not [one for one in family if one.is_running() and one.status() != psutil.STATUS_ZOMBIE]


def test_a_group_that_knows_nothing_but_its_bento_answers_with_the_packed_pins(
    pair: House,
) -> None:
    pair.stop_service()
    for folder in pair.settings.home.glob("caches*"):
        shutil.rmtree(folder)
    pair.stop_database()
    try:
        pair.start_service()
        with httpx.Client(base_url=pair.settings.group_url(ORGAN), timeout=30) as client:
            answer = classify(client, "organ", PINNED).json()
        assert (answer["label"], answer["pinned"]) == ("liver", True)
        with httpx.Client(base_url=pair.settings.group_url(CHAPTER), timeout=30) as client:
            wait_until(partial(answers_ready, client), seconds=120, what="the other group ready")
            assert classify(client, "chapter", PINNED).json()["pinned"] is False
            assert "perennial_pins{" not in client.get("/metrics").text, "it holds its own alone"
    finally:
        pair.start_database()
