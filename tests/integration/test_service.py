"""The built bento as real processes on a real PostgreSQL."""

from __future__ import annotations

import json
import time
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pandas as pd
import pytest

from bentos.inference_log.journal import segments
from bentos.inference_log.shipper import CORRUPT
from core.memory_revisions import MemoryRevision, append_revision
from pipelines.memory.build import build_memory
from pipelines.model.memory import save_memory
from tests.support.heads import store_head
from tests.support.processes import wait_until
from tests.support.services import House, failed, steady_load


def test_the_packed_heads_answer_before_any_deployment_exists(client: httpx.Client) -> None:
    assert [one["version"] for one in client.get("/v1/classifiers").json()["classifiers"]] == ["1"]


def test_answers_are_served_cached_and_logged(house: House, client: httpx.Client) -> None:
    body = {
        "phrase": "Broken Heart",
        "key": "k",
        "region": "north",
        "occurred_at": "2026-01-02T03:04:05Z",
    }
    first = client.post("/v1/organ/predict", json=body)
    again = client.post("/v1/organ/predict", json={"phrase": "broken  heart"})
    assert (first.status_code, first.json()["cached"], again.json()["cached"]) == (200, False, True)
    assert again.json()["probability"] == first.json()["probability"]
    wanted = {first.json()["request_id"], again.json()["request_id"]}
    wait_until(lambda: wanted <= house.logged_ids(), seconds=10, what="both rows in the table")
    row = next(row for row in house.logged() if row.request_id == first.json()["request_id"])
    assert (row.phrase, row.cleaned, row.region, row.routing_key, row.version) == (
        "Broken Heart",
        "broken heart",
        "north",
        "k",
        "1",
    )
    assert (row.label, row.probability, row.occurred_at.year) == (
        first.json()["label"],
        first.json()["probability"],
        2026,
    )
    assert row.alternatives == [
        [one["label"], one["probability"]] for one in first.json()["alternatives"]
    ]


def test_a_batch_is_answered_and_logged_in_one_piece(house: House, client: httpx.Client) -> None:
    answers = client.post(
        "/v1/organ/predict_batch", json={"phrases": [f"batch {number}" for number in range(256)]}
    ).json()["predictions"]
    ids = {answer["request_id"] for answer in answers}
    assert len(ids) == 256
    wait_until(lambda: ids <= house.logged_ids(), seconds=10, what="256 rows in the table")


def test_an_explanation_is_of_the_answer_and_is_not_logged(
    house: House, client: httpx.Client
) -> None:
    body = {"phrase": "broken valve of the heart"}
    answer = client.post("/v1/organ/predict", json=body).json()
    before = house.settled_ids()
    explained = client.post("/v1/organ/explain", json=body)
    assert explained.status_code == 200, explained.text
    found = explained.json()
    assert (found["label"], found["version"]) == (answer["label"], answer["version"])
    assert [word["word"] for word in found["words"]] == body["phrase"].split()
    assert found["nearest"] is None, "the head of this house was stored alone"
    assert house.settled_ids() == before


def test_no_process_of_the_service_holds_tensorflow(house: House, client: httpx.Client) -> None:
    assert (
        client.post("/v1/organ/predict", json={"phrase": "femur never said"}).json()["cached"]
        is False
    )
    family = [
        house.supervisor,
        *house.supervisor.children(recursive=True),
    ]
    mapped = {Path(part.path) for process in family for part in process.memory_maps()}
    assert any("ai_edge_litert" in path.parts for path in mapped), "the embedder is among them"
    assert not [path for path in mapped if "tensorflow" in path.parts]


def answered_by(version: str, seen: list[tuple[int, dict]]) -> bool:
    return bool(seen) and seen[-1][1].get("version") == version


def test_the_supervisor_holds_no_library_of_the_service(house: House, client: httpx.Client) -> None:
    mapped = {part for one in house.supervisor.memory_maps() for part in Path(one.path).parts}
    assert "zmq" in mapped, "what it watches with"
    assert not mapped & {"numpy", "ai_edge_litert", "pydantic_core", "sqlalchemy"}


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/v1/organ/predict", b"", 400),
        ("/v1/organ/predict", b'{"phrase": "\xff"}', 400),
        ("/v1/organ/predict", b'{"phrase": "a\\u0000"}', 422),
        ("/v1/organ/predict", b" " * (4 * 2**20 + 1), 413),
        ("/v1/liver/predict", b'{"phrase": "a"}', 404),
        ("/v1/organ/predict", b'{"phrase": "' + b"x" * 2001 + b'"}', 422),
        ("/raw/embed", b'["a"]', 404),
        ("/nowhere", b"", 404),
    ],
)
def test_bad_input_is_refused_by_the_real_server(
    client: httpx.Client, path: str, body: bytes, status: int
) -> None:
    response = client.post(
        path, content=body, headers={"content-type": "application/vnd.bentoml+pickle"}
    )
    assert (response.status_code, "Traceback" in response.text) == (status, False)
    assert response.json().keys() <= {"code", "message", "field", "request_id"}
    assert client.get("/livez").status_code == 200


def test_a_promotion_and_a_rollback_arrive_within_five_seconds_and_no_request_fails(
    house: House,
) -> None:
    with steady_load(house) as seen:
        for version in ("2", "1", "3"):
            house.promote(version)
            wait_until(
                partial(answered_by, version, seen),
                seconds=5,
                what=f"version {version}",
            )
    assert failed(seen) == []
    assert {answer["version"] for _, answer in seen} == {"1", "2", "3"}


def refused(client: httpx.Client) -> float:
    lines = client.get("/metrics").text.splitlines()
    return next(
        float(line.split()[1])
        for line in lines
        if line.startswith("perennial_head_refusals_total ")
    )


def test_a_corrupt_head_never_answers(house: House, client: httpx.Client) -> None:
    bad = store_head(house.settings.home, "organ", "4")
    (Path(bad.head_location) / "head.npz").write_bytes(b"rubbish")
    house.versions["4"] = bad
    before = client.get("/v1/classifiers").json()
    counted = refused(client)
    house.promote("4")
    wait_until(lambda: refused(client) == counted + 1, seconds=60, what="the refusal counted")
    assert client.get("/v1/classifiers").json() == before
    assert client.post("/v1/organ/predict", json={"phrase": "a"}).status_code == 200
    house.promote("3")


def test_a_database_outage_costs_neither_an_answer_nor_a_row(house: House) -> None:
    before = house.settled_ids()
    rows = len(house.logged())
    with steady_load(house) as seen:
        wait_until(lambda: len(seen) > 50, seconds=20, what="answers before the outage")
        house.stop_database()
        down = len(seen)
        wait_until(
            lambda: len(seen) > down + 1000 and house.waiting() > 500,
            seconds=60,
            what="answers during the outage",
        )
        house.start_database()
        up = len(seen)
        wait_until(lambda: len(seen) > up + 50, seconds=20, what="answers after the outage")
    assert failed(seen) == []
    answered = {answer["request_id"] for _, answer in seen}
    wait_until(lambda: answered <= house.logged_ids(), seconds=20, what="every answer in the table")
    assert house.logged_ids() - before == answered
    assert len(house.logged()) == rows + len(answered), "no row twice"


@pytest.mark.slow
def test_a_minute_without_the_database_under_load_costs_nothing(house: House) -> None:
    before = house.settled_ids()
    with steady_load(house) as seen:
        wait_until(lambda: len(seen) > 50, seconds=60, what="answers before the outage")
        house.stop_database()
        down = len(seen)
        began = time.monotonic()
        wait_until(lambda: time.monotonic() - began > 60, seconds=120, what="a minute")
        during = len(seen) - down
        house.start_database()
        up = len(seen)
        wait_until(lambda: len(seen) > up + 50, seconds=60, what="answers after the outage")
    print(f"{during:,} answers in a minute without the database")
    assert failed(seen) == []
    assert during > 1000
    answered = {answer["request_id"] for _, answer in seen}
    wait_until(
        lambda: answered <= house.logged_ids(), seconds=120, what="every answer in the table"
    )
    assert house.logged_ids() - before == answered


def test_a_promotion_is_seen_after_an_outage(house: House, client: httpx.Client) -> None:
    house.promote("2")
    wait_until(
        lambda: client.post("/v1/organ/predict", json={"phrase": "a"}).json()["version"] == "2",
        seconds=5,
        what="version 2",
    )


def test_a_killed_service_loses_no_answer_and_replays_its_journal(house: House) -> None:
    before = house.settled_ids()
    house.stop_database()
    with httpx.Client(base_url=house.url, timeout=10) as client:
        answers = [
            client.post("/v1/organ/predict", json={"phrase": f"last {number}"})
            for number in range(30)
        ]
    house.kill_service()
    answered = {answer.json()["request_id"] for answer in answers}
    house.start_database()
    assert not answered & house.logged_ids(), "nothing was shipped yet"
    house.start_service()
    wait_until(lambda: answered <= house.logged_ids(), seconds=20, what="the journal replayed")
    assert house.logged_ids() - before == answered


def test_a_damaged_line_is_named_and_kept_and_costs_no_other_row(house: House) -> None:
    before = house.settled_ids()
    house.stop_database()
    with httpx.Client(base_url=house.url, timeout=10) as client:
        ids = [
            client.post("/v1/organ/predict", json={"phrase": f"written {number}"}).json()[
                "request_id"
            ]
            for number in range(5)
        ]
        segment, offset, line = damage(house.settings.journal, ids.pop(2))
        after = client.post("/v1/organ/predict", json={"phrase": "written after"})
        house.start_database()
    wait_until(lambda: house.waiting() == 0, seconds=60, what="the journal shipped")
    assert after.status_code == 200
    assert house.logged_ids() - before == {*ids, after.json()["request_id"]}
    kept = house.settings.journal / CORRUPT
    assert kept.read_bytes() == line
    kept.unlink()
    warnings = [
        json.loads(one)
        for one in (house.settings.home / "service.log").read_text().splitlines()
        if "corrupt lines skipped" in one
    ]
    assert [(one["segment"], one["offsets"], one["kept_in"]) for one in warnings] == [
        (segment, [offset], CORRUPT)
    ]


def damage(journal: Path, request_id: str) -> tuple[str, int, bytes]:
    """Alter a byte of an answer's row; return the segment, the line's offset and the line now."""
    [segment] = [one for one in segments(journal) if request_id.encode() in one.read_bytes()]
    with segment.open("r+b") as file:
        file.seek(segment.read_bytes().index(request_id.encode()))
        file.write(b"?")
        place = file.tell()
    data = segment.read_bytes()
    begin = data.rfind(b"\n", 0, place) + 1
    end = data.index(b"\n", place) + 1
    return segment.name, begin, data[begin:end]


def test_sigterm_ships_what_waits_and_leaves_an_empty_journal(house: House) -> None:
    with httpx.Client(base_url=house.url, timeout=10) as client:
        last = client.post("/v1/organ/predict", json={"phrase": "the last one"}).json()
    house.stop_service()
    assert last["request_id"] in house.logged_ids()
    left = sorted(path.name for path in house.settings.journal.iterdir())
    assert left == ["feedback", "shipper.lock"]


def test_a_revision_of_the_memory_answers_within_the_poll(
    house: House, client: httpx.Client
) -> None:
    phrase = "a phrase that people labelled"
    before = client.post("/v1/organ/predict", json={"phrase": phrase}).json()
    other = "lung" if before["label"] == "heart" else "heart"
    moment = pd.Timestamp("2026-01-01", tz="UTC")
    labels = pd.DataFrame(
        [(phrase, other, moment, author, "sample") for author in "abc"],
        columns=["cleaned", "label", "received_at", "author", "kind"],
    )
    memory = build_memory(labels, classifier="organ", revision=1, as_of=moment)
    folder = house.settings.home / "memory-1"
    revision = MemoryRevision(
        classifier="organ",
        revision=1,
        made_at=moment.to_pydatetime(),
        as_of=moment.to_pydatetime(),
        digest=save_memory(memory, folder),
        location=str(folder),
        snapshot="test",
        first_feedback=None,
        last_feedback=None,
        phrases=1,
        labels=3,
        enabled=True,
        why="test",
    )
    with house.engine.begin() as connection:
        append_revision(connection, revision)

    def answer() -> dict[str, Any]:
        answered: dict[str, Any] = client.post("/v1/organ/predict", json={"phrase": phrase}).json()
        return answered

    wait_until(lambda: answer()["label"] == other, seconds=20, what="the revision answers")
    after = answer()
    assert (before["revision"], after["revision"], after["known"]) == (None, 1, True)
    house.settled_ids()
    [row] = [row for row in house.logged() if row.request_id == after["request_id"]]
    assert (row.revision, row.head_label) == (1, before["label"])
    assert 'perennial_memory_revision{classifier="organ"} 1.0' in client.get("/metrics").text
