"""`/api/{classifier}/review` and `POST /api/feedback`."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Engine
from starlette.testclient import TestClient

from console.access.people import local_person
from console.access.users import add_user
from core.deployments import append_deployment
from core.tables.console import console_change
from core.tables.loop import feedback, inference
from core.tables.review import review_item, review_lease
from flows.context import LoopContext
from monitoring.review.items import add_items
from tests.support.heads import champion, store_head
from tests.support.inferences import inference as logged
from tests.support.review_consoles import console_of
from tests.support.reviews import item

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
API = "/api/organ/review"
WAITING = sa.text("select exists (select from pg_locks where not granted)")
LUNG = {"act": "a-1", "label": "lung"}


@pytest.fixture(autouse=True)
def queue(context: LoopContext) -> None:
    """Three phrases wait; the champion knows heart and lung, and three answers are logged."""
    model = store_head(context.settings.home, "organ", "1")
    with context.engine.begin() as connection:
        append_deployment(connection, champion(model))
        add_items(connection, map(item, (1, 2, 3)), now=NOW, double_share=0)
        rows = [asdict(logged(n, occurred_at=NOW - timedelta(days=1))) for n in (1, 2, 3, 7)]
        connection.execute(inference.insert(), rows)


def stored(engine: Engine) -> list[tuple]:
    columns = (feedback.c.request_id, feedback.c.label, feedback.c.kind)
    with engine.connect() as connection:
        query = sa.select(*columns).order_by(feedback.c.id)
        return [tuple(row) for row in connection.execute(query)]


def first(console: TestClient) -> dict:
    answer = console.get(f"{API}/next")
    assert answer.status_code == 200, answer.text
    return answer.json()["item"]


def test_the_next_item_has_five_labels_and_hides_its_strategy(console: TestClient) -> None:
    found = first(console)
    assert found["phrase"] == "Phrase 1"
    assert [likely["label"] for likely in found["likeliest"]] == [
        "heart",
        "lung",
        "liver",
        "kidney",
        "spleen",
    ]
    assert not {"strategy", "score", "needs"} & found.keys()


def test_the_item_after_the_held_one(console: TestClient) -> None:
    held = first(console)["id"]
    second = console.get(f"{API}/next", params={"besides": held}).json()["item"]
    assert second["phrase"] == "Phrase 2"
    assert first(console)["id"] == held


def test_a_label_is_stored_and_recorded(console: TestClient, engine: Engine) -> None:
    answer = console.post(f"{API}/{first(console)['id']}/answer", json=LUNG)
    assert answer.json() == {"outcome": "decided"}
    assert stored(engine) == [("request-1", "lung", "correction")]
    with engine.connect() as connection:
        change = connection.execute(sa.select(console_change)).one()
    assert (change.before["label"], change.after["label"]) == ("heart", "lung")


def test_an_act_is_undone(console: TestClient, engine: Engine) -> None:
    held = first(console)["id"]
    console.post(f"{API}/{held}/answer", json=LUNG)
    assert console.post(f"{API}/undo", json={"act": "a-1"}).json()["id"] == held
    assert stored(engine) == []
    assert first(console)["id"] == held


def test_other_phrases_get_the_label_after_a_preview(console: TestClient, engine: Engine) -> None:
    held = first(console)["id"]
    also = {"also": ["phrase 7", "phrase 2", "a row of the source"]}
    preview = console.post(f"{API}/{held}/preview", json=also)
    assert preview.json() == {"phrases": 3, "answers": 3, "more": False, "unknown": 1}
    console.post(f"{API}/{held}/answer", json={**LUNG, **also})
    assert stored(engine) == [
        ("request-1", "lung", "correction"),
        ("request-7", "lung", "correction"),
        ("request-2", "lung", "correction"),
    ]


def test_nothing_waits_at_the_end(console: TestClient) -> None:
    for number in range(3):
        body = {"act": f"a-{number}", "kind": "skip", "reason": "not sure"}
        console.post(f"{API}/{first(console)['id']}/answer", json=body)
    assert first(console) is None


def test_the_labels_are_those_of_the_champion(console: TestClient, context: LoopContext) -> None:
    folder = context.settings.repository / "queries" / "labels"
    folder.mkdir(parents=True)
    (folder / "organ.csv").write_text("label,description\nlung,breathes\n", encoding="utf-8")
    assert console.get(f"{API}/labels").json() == [
        {"name": "heart", "description": ""},
        {"name": "lung", "description": "breathes"},
    ]


BAD_ANSWERS: list[Any] = [
    {},
    [],
    {"act": "a"},
    {"act": "", "label": "lung"},
    {"act": "a\0", "label": "lung"},
    {"act": "a", "label": "lu\0ng"},
    {"act": "a", "label": ""},
    {"act": "a", "label": "lung", "kind": "skip"},
    {"act": "a", "kind": "skip"},
    {"act": "a", "kind": "none_of_these", "label": "lung"},
    {"act": "a", "kind": "maybe", "label": "lung"},
    {"act": "a", "label": "unheard"},
    {"act": "a", "label": "lung", "also": ["\0"]},
    {"act": "a", "label": "lung", "also": ["x"] * 51},
    {"act": "a", "label": "lung", "more": 1},
    {"act": 7, "label": ["lung"]},
]


@pytest.mark.parametrize("body", BAD_ANSWERS)
def test_a_bad_answer_is_refused(console: TestClient, engine: Engine, body: Any) -> None:
    answer = console.post(f"{API}/{first(console)['id']}/answer", json=body)
    assert answer.status_code in (400, 422), answer.text
    assert answer.json()["error"]["message"]
    assert stored(engine) == []


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/api/organ/review/0/answer", 400),
        ("/api/organ/review/999999/answer", 404),
        (f"/api/organ/review/{2**63}/answer", 400),
        ("/api/organ/review/x/answer", 400),
        ("/api/unheard/review/1/answer", 404),
    ],
)
def test_an_unknown_item_is_refused(console: TestClient, path: str, status: int) -> None:
    assert console.post(path, json=LUNG).status_code == status


@pytest.mark.parametrize("besides", ["x", "-1", str(2**63), "&".join(["1"] * 21)])
def test_bad_items_to_leave_out_are_refused(console: TestClient, besides: str) -> None:
    query = "&".join(f"besides={part}" for part in besides.split("&"))
    assert console.get(f"{API}/next?{query}").status_code == 400


def test_a_body_that_is_not_json_is_refused(console: TestClient) -> None:
    for content in (
        b"\xff",
        b"",
        b'{"act": "a", "label": "\\ud800"}',
        b'{"act": NaN}',
        b"[" * 9999,
    ):
        answer = console.post(
            f"{API}/{first(console)['id']}/answer",
            content=content,
            headers={"content-type": "application/json"},
        )
        assert answer.status_code in (400, 422), content


@pytest.mark.parametrize("act", ["unheard", "", "\0", None])
def test_what_cannot_be_undone_is_refused(console: TestClient, act: Any) -> None:
    assert console.post(f"{API}/undo", json={"act": act}).status_code in (400, 404)


class TestFeedback:
    def send(self, console: TestClient, **body: Any) -> Any:
        return console.post("/api/feedback", json={"request_id": "request-7", **body})

    @pytest.mark.parametrize(
        ("body", "row"),
        [
            ({"label": "lung"}, ("request-7", "lung", "unknown")),
            ({"label": " heart ", "kind": "confirmation"}, ("request-7", "heart", "confirmation")),
            ({"label": "liver", "new_label": True}, ("request-7", "liver", "unknown")),
            ({"kind": "none_of_these"}, ("request-7", "", "none_of_these")),
        ],
    )
    def test_a_label_is_stored_once(
        self, console: TestClient, engine: Engine, body: dict, row: tuple
    ) -> None:
        assert self.send(console, **body).json()["stored"] is True
        assert self.send(console, **body).json()["stored"] is False
        assert stored(engine) == [row]

    @pytest.mark.parametrize(
        ("body", "status"),
        [
            ({}, 400),
            ({"label": "liver"}, 422),
            ({"label": "  "}, 422),
            ({"label": "lung", "request_id": "unheard"}, 404),
            ({"label": "lung", "request_id": "\0"}, 400),
            ({"label": "lung", "kind": "sample"}, 422),
            ({"label": "lung", "kind": "sample", "probability": 0.5}, 422),
            ({"label": "lung", "probability": 0.5}, 400),
            ({"label": "lung", "kind": "sample", "probability": 0}, 400),
            ({"label": "lung", "kind": "sample", "probability": 1e-300}, 400),
            ({"label": "lung", "kind": "none_of_these"}, 400),
            ({"label": "lung", "kind": "example"}, 400),
        ],
    )
    def test_a_bad_label_is_refused(
        self, console: TestClient, engine: Engine, body: dict, status: int
    ) -> None:
        assert self.send(console, **body).status_code == status
        assert stored(engine) == []

    @pytest.mark.parametrize(("given", "status"), [(None, 200), (0.02, 200), (0.5, 422), (1, 422)])
    def test_the_probability_of_a_sample_is_that_of_its_draw(
        self, console: TestClient, engine: Engine, given: float | None, status: int
    ) -> None:
        """A probability of the reviewer's choice would weigh a label as much as he likes."""
        with engine.begin() as connection:
            drawn = item(7, strategy="random", probability=0.02)
            add_items(connection, [drawn], now=NOW, double_share=0)
        body = {"label": "lung", "kind": "sample", "probability": given}
        assert self.send(console, **body).status_code == status
        with engine.connect() as connection:
            rows = connection.execute(sa.select(feedback.c.kind, feedback.c.probability)).all()
        assert [tuple(row) for row in rows] == ([("sample", 0.02)] if status == 200 else [])


def test_a_lease_is_renewed_not_doubled(console: TestClient, engine: Engine) -> None:
    for _ in range(3):
        first(console)
    with engine.connect() as connection:
        assert len(connection.execute(sa.select(review_lease)).all()) == 1


def test_the_only_user_who_may_review_decides_alone(context: LoopContext) -> None:
    """An item for two people would wait for ever."""
    ada = TestClient(console_of(context, "ada"), base_url="http://127.0.0.1")
    with context.engine.begin() as connection:
        connection.execute(sa.update(review_item).values(needs=2))
        add_user(connection, "ada", "reviewer", password=None, by=local_person(), now=NOW)
        add_user(connection, "eve", "viewer", password=None, by=local_person(), now=NOW)
    alone = ada.post(f"{API}/{first(ada)['id']}/answer", json=LUNG)
    assert alone.json() == {"outcome": "decided"}
    with context.engine.begin() as connection:
        add_user(connection, "bob", "reviewer", password=None, by=local_person(), now=NOW)
    one_of_two = ada.post(f"{API}/{first(ada)['id']}/answer", json={**LUNG, "act": "a-2"})
    assert one_of_two.json() == {"outcome": "waits"}


def test_a_phrase_that_is_queued_at_this_moment_is_to_be_sent_again(
    console: TestClient, context: LoopContext
) -> None:
    shown = first(console)["id"]
    also = {**LUNG, "also": ["phrase 7"]}
    with context.engine.connect() as refill, ThreadPoolExecutor(1) as pool:
        add_items(refill, [item(7)], now=NOW, double_share=0)
        sent = pool.submit(console.post, f"{API}/{shown}/answer", json=also)
        with context.engine.connect() as watching:
            while not watching.scalar(WAITING) and not sent.done():
                watching.rollback()
        refill.commit()
        answer = sent.result()
    assert answer.status_code == 503
    assert answer.json()["error"]["code"] == "overtaken"
    assert stored(context.engine) == []
    assert console.post(f"{API}/{shown}/answer", json=also).status_code == 200
    assert len(stored(context.engine)) == 2
