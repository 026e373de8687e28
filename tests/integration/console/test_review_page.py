"""The review page by its forms, as without JavaScript."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Engine
from starlette.testclient import TestClient

from core.deployments import append_deployment
from core.tables.loop import feedback, inference
from core.tables.review import review_item, review_lease
from flows.context import LoopContext
from monitoring.review.items import add_items
from tests.support.heads import champion, store_head
from tests.support.inferences import inference as logged
from tests.support.review_consoles import console_of, keep_neighbours
from tests.support.reviews import item

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
PAGE = "/c/organ/review"
LABELS = ("heart", "liver", "lung")


class Inputs(HTMLParser):
    """The hidden inputs of a page, and where its first form goes."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.values: dict[str, list[str]] = {}
        self.action = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attrs}
        if tag == "form" and not self.action:
            self.action = found["action"]
        if tag == "input" and found.get("type") == "hidden":
            self.values.setdefault(found["name"], []).append(found["value"])


@pytest.fixture(autouse=True)
def queue(context: LoopContext) -> None:
    model = store_head(context.settings.home, "organ", "1", labels=LABELS)
    hostile = item(2, phrase="<script>alert(1)</script>", region="north")
    with context.engine.begin() as connection:
        append_deployment(connection, champion(model))
        add_items(connection, [item(1), hostile, item(3)], now=NOW, double_share=0)
        rows = [asdict(logged(n, occurred_at=NOW - timedelta(days=1))) for n in (1, 2, 3, 7)]
        connection.execute(inference.insert(), rows)


def press(console: TestClient, **fields: object):
    """Press a button of the item that the page shows."""
    form = Inputs(console.get(PAGE).text)
    data = {"act": form.values["act"][0], "choice": "entered", **fields}
    return console.post(form.action, data=data, follow_redirects=False)


def labels(engine: Engine) -> list[str]:
    with engine.connect() as connection:
        return list(connection.scalars(sa.select(feedback.c.label).order_by(feedback.c.id)))


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, ["heart"]),
        ({"choice": "label:lung"}, ["lung"]),
        ({"typed": "LUN"}, ["lung"]),
        ({"choice": "none"}, [""]),
        ({"choice": "skip", "reason": "not sure"}, []),
        ({"reason": "not sure"}, []),
    ],
)
def test_a_press_answers_and_shows_the_next_item(
    console: TestClient, engine: Engine, fields: dict, expected: list[str]
) -> None:
    assert press(console, **fields).status_code == 303
    assert labels(engine) == expected
    page = console.get(PAGE).text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "<script>alert" not in page
    assert "<dd>north</dd>" in page


def test_the_last_answer_is_undone(console: TestClient, engine: Engine) -> None:
    press(console)
    act = Inputs(console.get(PAGE).text).values["act"][1]
    page = console.post(f"{PAGE}/undo", data={"act": act})
    assert "Phrase 1" in page.text
    assert labels(engine) == []


def test_an_address_opens_no_item_out_of_its_turn(context: LoopContext, engine: Engine) -> None:
    """Not that of somebody else, and no random draw because somebody chose to label it."""
    ada, bob = (
        TestClient(console_of(context, name), base_url="http://127.0.0.1")
        for name in ("ada", "bob")
    )
    with engine.begin() as connection:
        drawn = item(7, strategy="random", probability=0.01, score=-99.0)
        add_items(connection, [drawn], now=NOW, double_share=0)
        query = sa.select(review_item.c.cleaned, review_item.c.id)
        ids = {cleaned: number for cleaned, number in connection.execute(query)}
    assert "Phrase 1" in ada.get(PAGE).text
    for phrase in ("phrase 1", "phrase 7", "phrase 3"):
        for address in (f"{PAGE}?item={ids[phrase]}", f"{PAGE}/{ids[phrase]}/card"):
            assert bob.get(address).status_code == 404
    assert ada.get(f"{PAGE}?item={ids['phrase 1']}").status_code == 200
    with engine.connect() as connection:
        leases = set(connection.execute(sa.select(review_lease.c.item, review_lease.c.person)))
    assert leases == {(ids["phrase 1"], "ada")}


def test_other_phrases_are_previewed(console: TestClient, engine: Engine) -> None:
    preview = press(console, choice="label:lung", also=["phrase 7", "phrase 3", "nowhere"])
    assert preview.status_code == 200
    assert "lung for 3 phrases" in preview.text and "3 logged answers" in preview.text
    assert "1 other phrase never came to the service" in preview.text
    assert labels(engine) == []
    form = Inputs(preview.text)
    console.post(form.action, data=form.values)
    assert labels(engine) == ["lung"] * 3


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"choice": "skip"}, 422),
        ({"choice": "label:"}, 422),
        ({"choice": "label:unheard"}, 422),
        ({"typed": "unheard"}, 422),
        ({"typed": "l"}, 422),
        ({"choice": "maybe"}, 422),
        ({"choice": "maybe" * 300}, 400),
        ({"act": ""}, 400),
        ({"act": "\0"}, 400),
        ({"also": "\0"}, 400),
        ({"reason": "\0"}, 422),
    ],
)
def test_a_bad_form_is_explained(
    console: TestClient, engine: Engine, fields: dict, status: int
) -> None:
    answer = press(console, **fields)
    assert answer.status_code == status
    assert 'role="alert"' in answer.text
    assert labels(engine) == []


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/c/organ/review?item=999", 404),
        ("/c/organ/review?item=x", 400),
        (f"/c/organ/review?item={2**63}", 400),
        ("/c/organ/review/999/card", 404),
        ("/c/organ/review/999/neighbours", 404),
        ("/c/organ/review/card?besides=-1", 400),
        ("/c/unheard/review", 404),
    ],
)
def test_a_bad_address_is_explained(console: TestClient, path: str, status: int) -> None:
    assert console.get(path).status_code == status


def test_an_empty_queue_is_refilled_and_then_says_so(console: TestClient) -> None:
    """The log has other phrases, too; a second refill comes a minute later."""
    presses = 0
    while "Nothing waits for you" not in console.get(PAGE).text:
        press(console)
        presses += 1
        assert presses < 20
    assert presses > 3


def test_agreement_is_shown(console: TestClient, context: LoopContext) -> None:
    """Two people agree on two phrases and disagree on the last, where a third decides."""
    ada = TestClient(console_of(context, "ada"), base_url="http://127.0.0.1")
    assert "not known yet" in ada.get(PAGE).text
    with context.engine.begin() as connection:
        connection.execute(sa.update(review_item).values(needs=2))
    given = [("ada", "heart"), ("ada", "lung"), ("ada", "liver")]
    given += [("bob", "heart"), ("bob", "lung"), ("bob", "lung"), ("eve", "lung")]
    for number, (name, label) in enumerate(given):
        other = TestClient(console_of(context, name), base_url="http://127.0.0.1")
        item = other.get("/api/organ/review/next").json()["item"]["id"]
        body = {"act": f"act-{number}", "label": label}
        other.post(f"/api/organ/review/{item}/answer", json=body)
    page = " ".join(console.get(PAGE).text.split())
    assert "alpha 0.57 over 3 phrases" in page


def test_the_worth_of_labels_stands_below_the_queue(console: TestClient) -> None:
    press(console, choice="label:lung")
    assert f"{PAGE}/worth" in console.get(PAGE).text
    page = " ".join(console.get(f"{PAGE}/worth").text.split())
    row = page.partition('<th scope="row">low confidence</th>')[2].partition("</tr>")[0]
    numbers = [cell.partition("<")[0] for cell in row.split('<td class="number">')[1:]]
    assert numbers[:4] == ["20 %", "2", "1", "1"]


def test_near_phrases_stand_beside_the_item(console: TestClient, context: LoopContext) -> None:
    assert "Nearest phrases" not in console.get(PAGE).text
    keep_neighbours(context, ["phrase 1", "phrase 7"])
    page = " ".join(console.get(PAGE).text.split())
    assert "Nearest phrases" in page and 'value="phrase 7"' in page
    assert "heart, asked 5 times this week" in page
    item = console.get("/api/organ/review/next").json()["item"]["id"]
    assert 'value="phrase 7"' in console.get(f"{PAGE}/{item}/neighbours").text


def suspected(console: TestClient, context: LoopContext) -> str:
    """Put a row of the source before the other items; return the page."""
    row = {"id": "17", "phrase": "Phrase 0", "occurred_at": "2025-05-01T08:00:00+00:00"}
    changes = {
        "request_id": "organ/17",
        "strategy": "suspects",
        "proposed_label": "liver",
        "alternatives": [("liver", 0.97)],
        "confidence": 0.01,
        "source_rows": [{**row, "region": None}],
    }
    with context.engine.begin() as connection:
        add_items(connection, [item(0, **changes)], now=NOW, double_share=0)
    return console.get(PAGE).text


@pytest.mark.parametrize(
    ("choice", "label", "kind"),
    [("entered", "liver", "correction"), ("label:heart", "heart", "confirmation")],
)
def test_a_suspect_shows_both_labels_and_one_key_accepts_or_confirms(
    console: TestClient, context: LoopContext, choice: str, label: str, kind: str
) -> None:
    page = " ".join(suspected(console, context).split())
    assert 'data-label="liver"' in page  # what Enter accepts
    assert "as <b>heart</b> in the source" in page
    keys = [part.partition('"')[0] for part in page.split('value="label:')[1:]]
    assert keys == ["liver", "heart"]  # keys 1 and 2
    assert press(console, choice=choice).status_code == 303
    with context.engine.connect() as connection:
        row = connection.execute(sa.select(feedback)).one()
    assert (row.label, row.kind, row.source_row) == (label, kind, "17")
    assert (row.phrase, row.request_id) == ("Phrase 0", "organ/17")
