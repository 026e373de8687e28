"""Review sessions in a real Chromium, by keyboard."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import BrowserContext, Page, expect
from sqlalchemy.engine import Engine

from core.deployments import append_deployment
from core.tables.loop import feedback, inference
from core.tables.review import review_item
from flows.context import LoopContext
from monitoring.review.items import add_items
from tests.support.browsers import chromium, needs_chromium
from tests.support.embedders import build_tiny_embedder
from tests.support.heads import EMBEDDER_ID, champion, store_head
from tests.support.http_servers import served
from tests.support.inferences import inference as logged
from tests.support.processes import wait_until
from tests.support.review_consoles import console_of, keep_neighbours
from tests.support.reviews import item

pytestmark = needs_chromium
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
PATH = "/c/organ/review"
LABELS = ("heart", "kidney", "liver", "lung", *(f"organ {number}" for number in range(1000)))


@dataclass
class Review:
    """A review page of one person, driven by its keyboard."""

    page: Page

    def opened(self, url: str) -> Review:
        self.page.goto(url + PATH)
        return self

    def press(self, *keys: str) -> None:
        for key in keys:
            self.page.keyboard.press(key)

    def shows(self, phrase: str) -> None:
        expect(self.page.get_by_role("heading", level=2)).to_have_text(phrase)

    def says(self, text: str) -> None:
        expect(self.page.locator("#said")).to_contain_text(text)


@pytest.fixture(scope="module")
def browser() -> Iterator[BrowserContext]:
    with chromium() as context:
        yield context


@pytest.fixture(autouse=True)
def queue(context: LoopContext) -> None:
    """Twelve phrases wait, the third asked again as phrase 21."""
    model = store_head(context.settings.home, "organ", "1", labels=LABELS)
    folder = context.settings.repository / "queries" / "labels"
    folder.mkdir(parents=True)
    described = "label,description\norgan 777,filters the blood\n"
    (folder / "organ.csv").write_text(described, encoding="utf-8")
    with context.engine.begin() as connection:
        append_deployment(connection, champion(model))
        add_items(connection, map(item, range(1, 13)), now=NOW, double_share=0)
        rows = [
            asdict(logged(number, occurred_at=NOW - timedelta(days=1)))
            for number in (*range(1, 13), 21)
        ]
        connection.execute(inference.insert(), rows)


@pytest.fixture
def page(browser: BrowserContext) -> Iterator[Page]:
    page = browser.new_page()
    yield page
    page.close()


def labels(engine: Engine) -> list[tuple]:
    columns = (feedback.c.request_id, feedback.c.label, feedback.c.kind, feedback.c.author)
    with engine.connect() as connection:
        return [tuple(row)[:3] for row in connection.execute(sa.select(*columns).order_by("id"))]


def waits_for(engine: Engine, *rows: tuple) -> None:
    wait_until(lambda: labels(engine) == list(rows), seconds=20, what=f"feedback {rows}")


def test_a_whole_session_by_keyboard(
    context: LoopContext, engine: Engine, console_url: str, page: Page
) -> None:
    keep_neighbours(context, ["phrase 5", "phrase 21"])
    review = Review(page).opened(console_url)
    review.shows("Phrase 1")
    review.press("Enter")  # accepts the answer
    review.shows("Phrase 2")
    review.press("2")
    review.shows("Phrase 3")
    review.press("0")
    review.shows("Phrase 4")
    review.press("s")
    page.keyboard.type("not sure")
    review.press("Enter")
    review.shows("Phrase 5")
    expect(page.get_by_role("checkbox")).to_be_visible()  # its neighbours come a moment later
    review.press("n", "Space", "2")
    expect(page.get_by_role("dialog")).to_contain_text("lung for 2 phrases, with 2 logged answers")
    review.press("Enter")
    review.shows("Phrase 6")
    page.keyboard.type("blood filt")  # words of the description of one of 1,004 labels
    expect(page.get_by_role("option", selected=True)).to_have_text("organ 777: filters the blood")
    review.press("Enter")
    review.shows("Phrase 7")
    waits_for(
        engine,
        ("request-1", "heart", "confirmation"),
        ("request-2", "lung", "correction"),
        ("request-3", "", "none_of_these"),
        ("request-5", "lung", "correction"),
        ("request-21", "lung", "correction"),
        ("request-6", "organ 777", "correction"),
    )
    review.press("?")
    expect(page.get_by_text("one of the five likeliest labels")).to_be_visible()


def test_the_words_of_an_answer_are_coloured_and_numbered(
    context: LoopContext, console_url: str, page: Page
) -> None:
    review = Review(page).opened(console_url)
    review.shows("Phrase 1")
    expect(page.get_by_role("link", name="the logged answer")).to_be_visible()
    expect(page.get_by_role("group", name="What each word")).to_have_count(0)  # no embedder
    build_tiny_embedder(context.settings.home / "embedders" / EMBEDDER_ID)
    page.reload()
    for place, phrase in enumerate(("Phrase 1", "Phrase 2")):
        review.shows(phrase)
        words = page.get_by_role("group", name="What each word added to the lead").locator("span")
        expect(words).to_have_text([re.compile(r"phrase [+-]\d"), re.compile(r"\d [+-]\d")])
        classes = {word.get_attribute("class") for word in words.all()}
        assert classes & {"for-3", "against-3"}, "the strongest word"
        if place == 0:
            review.press("Enter")


def test_undo_takes_the_last_answers_back(engine: Engine, console_url: str, page: Page) -> None:
    review = Review(page).opened(console_url)
    review.press("1")
    review.shows("Phrase 2")
    review.press("2")
    review.shows("Phrase 3")
    review.press("u")
    review.shows("Phrase 2")
    review.press("u")
    review.shows("Phrase 1")
    waits_for(engine)
    review.press("2")
    review.shows("Phrase 2")
    waits_for(engine, ("request-1", "lung", "correction"))


def test_arrows_choose_among_the_labels_found(engine: Engine, console_url: str, page: Page) -> None:
    review = Review(page).opened(console_url)
    page.keyboard.type("/organ 99")
    expect(page.get_by_role("option", selected=True)).to_have_text("organ 99")
    review.press("ArrowDown", "Enter")
    review.shows("Phrase 2")
    waits_for(engine, ("request-1", "organ 990", "correction"))


def test_the_next_item_is_there_at_once(console_url: str, page: Page) -> None:
    """The next item is shown without a request between the key and the page."""
    review = Review(page).opened(console_url)
    for number in range(1, 6):
        review.shows(f"Phrase {number}")
        page.wait_for_function("() => ahead !== null")
        page.keyboard.press("1")
        assert page.locator(".phrase").text_content() == f"Phrase {number + 1}"


def test_a_label_entered_while_the_database_is_away_is_sent_later(
    context: LoopContext, engine: Engine, console_url: str, page: Page
) -> None:
    review = Review(page).opened(console_url)
    page.wait_for_function("() => ahead !== null")
    with _database_away(context):
        review.press("2")
        expect(page.get_by_text("1 answer is kept in this browser")).to_be_visible()
        review.shows("Phrase 2")
        review.press("2")
        expect(page.get_by_text("2 answers are kept in this browser")).to_be_visible()
    review.shows("Phrase 3")
    expect(page.locator("#kept")).to_be_hidden()
    waits_for(engine, ("request-1", "lung", "correction"), ("request-2", "lung", "correction"))


def test_kept_labels_survive_a_closed_page(
    context: LoopContext, engine: Engine, console_url: str, browser: BrowserContext
) -> None:
    first = browser.new_page()
    review = Review(first).opened(console_url)
    with _database_away(context):
        review.press("2")
        expect(first.get_by_text("1 answer is kept in this browser")).to_be_visible()
        first.close()
    second = browser.new_page()
    Review(second).opened(console_url)
    waits_for(engine, ("request-1", "lung", "correction"))
    second.close()


def test_two_reviewers_never_see_the_same_item(
    context: LoopContext, engine: Engine, browser: BrowserContext
) -> None:
    with ExitStack() as stack:
        people = []
        for name in ("ada", "bob"):
            address = stack.enter_context(served(console_of(context, name)))
            url = f"http://{address[0]}:{address[1]}"
            people.append(Review(browser.new_page()).opened(url))
        seen = []
        for _ in range(5):
            for review in people:
                review.page.wait_for_function("() => ahead !== null")
                seen.append(review.page.locator(".phrase").text_content())
                review.press("1")
        assert len(set(seen)) == len(seen) == 10
        wait_until(lambda: len(labels(engine)) == 10, seconds=20, what="ten labels")
        for review in people:
            review.page.close()


def test_two_reviewers_who_disagree_are_decided_by_a_third(
    context: LoopContext, engine: Engine, browser: BrowserContext
) -> None:
    with engine.begin() as connection:
        connection.execute(
            sa.update(review_item).where(review_item.c.cleaned == "phrase 1").values(needs=2)
        )
    for name, key in (("ada", "2"), ("bob", "3"), ("eve", "2")):
        assert labels(engine) == []
        with served(console_of(context, name)) as (host, port):
            page = browser.new_page()
            review = Review(page).opened(f"http://{host}:{port}")
            review.shows("Phrase 1")
            review.press(key)
            expect(page.locator(".phrase")).not_to_have_text("Phrase 1", timeout=20_000)
            page.wait_for_function("() => kept().length === 0")
            page.close()
    waits_for(engine, ("request-1", "lung", "double_review"))


@pytest.mark.parametrize("width", [400, 1600])
def test_the_page_is_accessible_and_fits(console_url: str, page: Page, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    Review(page).opened(console_url).press("/")
    page.keyboard.type("organ")
    found = Axe().run(page)
    serious = [
        violation
        for violation in found.response["violations"]
        if violation["impact"] in ("serious", "critical")
    ]
    assert serious == [], found.generate_report()
    assert page.evaluate("document.documentElement.scrollWidth") <= width


@contextmanager
def _database_away(context: LoopContext) -> Iterator[None]:
    """Refuse every connection of the console's engine."""

    def refuse(*_: object) -> None:
        raise sa.exc.OperationalError("connect", {}, Exception("away"))

    sa.event.listen(context.engine, "do_connect", refuse)
    context.engine.dispose()
    try:
        yield
    finally:
        sa.event.remove(context.engine, "do_connect", refuse)
