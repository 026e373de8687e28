"""The review queue on a real PostgreSQL: leases, decisions, undo, and several phrases at once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from threading import Barrier
from time import perf_counter

import numpy as np
import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from core.errors import InvalidFeedback, UnknownRequest
from core.memory_revisions import MemoryRevision, append_revision
from core.tables.answers import answers_counted
from core.tables.loop import feedback, inference
from core.tables.review import review_answer, review_item
from monitoring.labels.fix_counts import register_fixes
from monitoring.labels.fixes import read_fixes
from monitoring.review.acts import Act, answer_as_before, answer_item
from monitoring.review.deciding import Answer
from monitoring.review.fixes import fix_phrases, logged_phrases
from monitoring.review.items import add_items
from monitoring.review.queue import LEASE, count_waiting, next_item
from monitoring.review.undo import newest_act, undo_act
from tests.support.inferences import inference as logged
from tests.support.reviews import item

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
NONE = Answer("none_of_these")
REVIEWERS = 10
SLOWEST = 1.0
"""Seconds for the median next item: beside a load of 12 on 2 cores it took .1."""
COPIED = "classifier, phrase, version, label, confidence, alternatives, occurred_at, strategy"
MANY = f"""
    insert into review_item
        ({COPIED}, frequency, needs, created_at, cleaned, request_id, score)
    select {COPIED}, frequency, needs, created_at,
        'phrase ' || number, 'request-' || number, -number
    from review_item, generate_series(1, :count) as number
"""


@pytest.fixture
def connection(engine: Engine) -> Iterator[Connection]:
    with engine.begin() as connection:
        yield connection


def add(connection: Connection, *numbers: int, twice: bool = False, **changes: object) -> None:
    items = [item(number, **changes) for number in numbers]
    add_items(connection, items, now=NOW, double_share=float(twice))


def take(
    connection: Connection, person: str, *, now: datetime = NOW, besides: tuple = ()
) -> int | None:
    found = next_item(connection, "organ", person=person, now=now, besides=besides)
    return None if found is None else int(found.phrase.split()[1])


def say(
    connection: Connection,
    person: str,
    label: str | Answer,
    *,
    now: datetime = NOW,
    act: str | None = None,
    alone: bool = False,
) -> str:
    """Answer the person's next item."""
    found = next_item(connection, "organ", person=person, now=now)
    assert found is not None
    answer = Answer("label", label) if isinstance(label, str) else label
    act = act or f"{person}-{found.id}-{now}"
    return answer_item(connection, "organ", found.id, Act(act, person, answer, alone), now=now)


def kept(connection: Connection) -> list[tuple]:
    """Return (request id, label, author, kind, probability) of all feedback."""
    table = feedback.c
    query = sa.select(table.request_id, table.label, table.author, table.kind, table.probability)
    return [tuple(row) for row in connection.execute(query.order_by(table.id))]


class TestLeases:
    def test_the_best_item_comes_first_and_to_one_person(self, connection: Connection) -> None:
        add(connection, 3, 1, 2)
        assert [take(connection, person) for person in ("ada", "bob", "eve", "dan")] == [
            1,
            2,
            3,
            None,
        ]

    def test_a_person_keeps_an_item_until_it_is_answered(self, connection: Connection) -> None:
        add(connection, 1, 2)
        assert take(connection, "ada") == take(connection, "ada") == 1
        say(connection, "ada", "heart")
        assert take(connection, "ada") == 2

    def test_the_one_after_it_can_be_fetched_before(self, connection: Connection) -> None:
        add(connection, 1, 2)
        first = next_item(connection, "organ", person="ada", now=NOW)
        assert first is not None
        assert take(connection, "ada", besides=(first.id,)) == 2
        assert take(connection, "bob") is None

    def test_a_lease_ends(self, connection: Connection) -> None:
        add(connection, 1)
        take(connection, "ada")
        assert take(connection, "bob", now=NOW + LEASE - timedelta(seconds=1)) is None
        assert take(connection, "bob", now=NOW + LEASE) == 1

    def test_two_people_get_an_item_that_needs_two(self, connection: Connection) -> None:
        add(connection, 1, twice=True)
        assert [take(connection, person) for person in ("ada", "bob", "eve")] == [1, 1, None]

    def test_a_skipped_item_goes_to_others(self, connection: Connection) -> None:
        add(connection, 1)
        say(connection, "ada", Answer("skip", reason="illegible"))
        assert take(connection, "ada") is None
        assert take(connection, "bob") == 1
        assert kept(connection) == []

    def test_another_classifier_has_a_queue_of_its_own(self, connection: Connection) -> None:
        add(connection, 1, classifier="side")
        assert take(connection, "ada") is None


class TestDeciding:
    @pytest.mark.parametrize(
        ("label", "row"),
        [
            ("heart", ("request-1", "heart", "ada", "confirmation", None)),
            ("lung", ("request-1", "lung", "ada", "correction", None)),
            (NONE, ("request-1", "", "ada", "none_of_these", None)),
        ],
    )
    def test_one_answer_becomes_feedback(
        self, connection: Connection, label: str | Answer, row: tuple
    ) -> None:
        add(connection, 1)
        assert say(connection, "ada", label) == "decided"
        assert kept(connection) == [row]

    def test_a_random_item_is_a_sample(self, connection: Connection) -> None:
        add(connection, 1, strategy="random", probability=0.02)
        say(connection, "ada", "lung")
        assert kept(connection) == [("request-1", "lung", "ada", "sample", 0.02)]

    def test_a_random_item_without_a_right_label_keeps_its_probability(
        self, connection: Connection
    ) -> None:
        add(connection, 1, strategy="random", probability=0.02)
        say(connection, "ada", NONE)
        assert kept(connection) == [("request-1", "", "ada", "none_of_these", 0.02)]

    def test_two_people_agree(self, connection: Connection) -> None:
        add(connection, 1, twice=True)
        assert say(connection, "ada", "lung") == "waits"
        assert kept(connection) == []
        assert take(connection, "ada") is None
        assert say(connection, "bob", "lung") == "decided"
        assert kept(connection) == [("request-1", "lung", "bob", "double_review", None)]

    def test_a_third_person_decides(self, connection: Connection) -> None:
        add(connection, 1, twice=True)
        say(connection, "ada", "lung")
        assert say(connection, "bob", "liver") == "waits"
        assert [take(connection, person) for person in ("ada", "bob")] == [None, None]
        assert say(connection, "eve", "lung") == "decided"
        assert kept(connection) == [("request-1", "lung", "eve", "double_review", None)]

    def test_who_reviews_alone_decides_alone(self, connection: Connection) -> None:
        add(connection, 1, twice=True)
        assert say(connection, "ada", "lung", alone=True) == "decided"

    def test_the_label_of_a_phrase_counts_for_each_draw(self, connection: Connection) -> None:
        for number in (1, 2):
            add(connection, number, cleaned="same", strategy="random", probability=0.1)
        say(connection, "ada", "lung")
        assert [row[0] for row in kept(connection)] == ["request-1"]
        second = next_item(connection, "organ", person="bob", now=NOW)
        assert second is not None
        assert answer_as_before(connection, "organ", second.id, now=NOW)
        assert [row[:2] for row in kept(connection)] == [
            ("request-1", "lung"),
            ("request-2", "lung"),
        ]
        assert count_waiting(connection, "organ") == 0
        act = newest_act(connection, "organ", person="ada")
        assert act is not None
        assert len(undo_act(connection, "organ", person="ada", act=act, now=NOW)) == 2
        assert kept(connection) == []

    def test_a_draw_is_labelled_at_its_own_turn_alone(self, connection: Connection) -> None:
        """Else the labelled part of a sample has more of the frequent phrases than the sample."""
        random = np.random.default_rng(1)
        frequent = random.random(400) < 0.5
        for number in range(400):
            phrase = "frequent" if frequent[number] else f"rare {number}"
            add(connection, number, cleaned=phrase, strategy="random", probability=0.1)
        for turn in range(100):
            found = next_item(connection, "organ", person="ada", now=NOW)
            assert found is not None
            if not answer_as_before(connection, "organ", found.id, now=NOW):
                act = Act(f"act-{turn}", "ada", Answer("label", "heart"))
                answer_item(connection, "organ", found.id, act, now=NOW)
        labelled = {int(row[0].split("-")[1]) for row in kept(connection)}
        assert labelled == set(range(100))

    def test_a_fix_beside_another_leaves_a_draw_to_its_turn(self, connection: Connection) -> None:
        rows = [asdict(logged(1, classifier="organ", cleaned="same", request_id="request-1"))]
        connection.execute(inference.insert(), rows)
        add(connection, 5, cleaned="same", strategy="random", probability=0.1)
        act = Act("a", "ada", Answer("label", "lung"))
        fix_phrases(connection, "organ", ["same"], act, now=NOW)
        assert [row[0] for row in kept(connection)] == ["request-1"]
        drawn = next_item(connection, "organ", person="ada", now=NOW)
        assert drawn is not None and drawn.request_id == "request-5"
        assert answer_as_before(connection, "organ", drawn.id, now=NOW)
        assert [row[0] for row in kept(connection)] == ["request-1", "request-5"]

    def test_a_phrase_is_asked_once(self, connection: Connection) -> None:
        add(connection, 2, cleaned="same")
        add(connection, 1, cleaned="same", strategy="random", probability=0.1)
        say(connection, "ada", "lung")
        assert len(kept(connection)) == 1
        assert count_waiting(connection, "organ") == 0

    def test_an_act_sent_again_counts_once(self, connection: Connection) -> None:
        add(connection, 1)
        found = next_item(connection, "organ", person="ada", now=NOW)
        assert found is not None
        act = Act("a", "ada", Answer("label", "lung"))
        for _ in range(2):
            assert answer_item(connection, "organ", found.id, act, now=NOW) == "decided"
        assert len(kept(connection)) == 1

    def test_a_late_answer_is_kept_and_counts_no_more(self, connection: Connection) -> None:
        add(connection, 1)
        found = next_item(connection, "organ", person="ada", now=NOW)
        assert found is not None
        later = NOW + LEASE
        say(connection, "bob", "lung", now=later)
        act = Act("late", "ada", Answer("label", "liver"))
        assert answer_item(connection, "organ", found.id, act, now=later) == "late"
        assert [row[1] for row in kept(connection)] == ["lung"]
        assert len(connection.execute(sa.select(review_answer)).all()) == 2

    def test_a_label_for_an_item_that_was_withdrawn_meanwhile_counts(
        self, connection: Connection
    ) -> None:
        add(connection, 1)
        found = next_item(connection, "organ", person="ada", now=NOW)
        assert found is not None
        connection.execute(sa.update(review_item).values(state="withdrawn"))
        act = Act("late", "ada", Answer("label", "liver"))
        assert answer_item(connection, "organ", found.id, act, now=NOW + 2 * LEASE) == "decided"
        assert [row[1] for row in kept(connection)] == ["liver"]

    def test_a_second_answer_of_a_person_is_refused(self, connection: Connection) -> None:
        add(connection, 1)
        say(connection, "ada", "lung", act="a")
        known = connection.execute(sa.select(review_item.c.id)).scalar_one()
        with pytest.raises(InvalidFeedback):
            answer_item(
                connection, "organ", known, Act("b", "ada", Answer("label", "heart")), now=NOW
            )

    def test_an_unknown_item_is_refused(self, connection: Connection) -> None:
        with pytest.raises(UnknownRequest):
            answer_item(connection, "organ", 1, Act("a", "ada", NONE), now=NOW)


class TestUndo:
    def undo(self, connection: Connection, person: str) -> list[int]:
        act = newest_act(connection, "organ", person=person)
        assert act is not None
        return undo_act(connection, "organ", person=person, act=act, now=NOW)

    def test_an_undone_label_is_gone_and_its_item_comes_again(self, connection: Connection) -> None:
        add(connection, 1, 2)
        say(connection, "ada", "lung")
        self.undo(connection, "ada")
        assert kept(connection) == []
        assert take(connection, "ada") == 1
        assert take(connection, "bob") == 2
        say(connection, "ada", "liver", act="again")
        assert [row[1] for row in kept(connection)] == ["liver"]

    def test_an_undone_fix_is_none(self, connection: Connection) -> None:
        rows = [asdict(logged(1, classifier="organ", request_id="request-1", label="heart"))]
        connection.execute(inference.insert(), rows)
        add(connection, 1)
        say(connection, "ada", "lung")
        connection.execute(
            answers_counted.insert().values(classifier="organ", sequence=0, counted_at=NOW)
        )
        newest = connection.scalar(sa.select(sa.func.max(feedback.c.id)))
        assert newest is not None
        register_fixes(connection, "organ", settled=newest)
        assert len(read_fixes(connection, "organ")) == 1
        self.undo(connection, "ada")
        assert read_fixes(connection, "organ") == []

    def requeue(self, connection: Connection) -> int:
        """Queue the phrase of item 1 again, as item 9 of a later answer."""
        later = item(9, phrase="Phrase 1", cleaned="phrase 1")
        add_items(connection, [later], now=NOW, double_share=0)
        return take(connection, "bob") or 0

    def states(self, connection: Connection) -> dict[str, str]:
        query = sa.select(review_item.c.request_id, review_item.c.state)
        return {row.request_id: row.state for row in connection.execute(query)}

    def test_an_undone_item_takes_the_place_of_its_twin(self, connection: Connection) -> None:
        add(connection, 1)
        say(connection, "ada", "lung")
        later = item(9, phrase="Phrase 1", cleaned="phrase 1")
        add_items(connection, [later], now=NOW, double_share=0)
        self.undo(connection, "ada")
        assert self.states(connection) == {"request-1": "open", "request-9": "withdrawn"}

    @pytest.mark.parametrize("answered", [False, True])
    def test_a_twin_that_somebody_has_in_hand_goes_on(
        self, connection: Connection, answered: bool
    ) -> None:
        """Ada may still label the phrase; both labels count."""
        add(connection, 1)
        say(connection, "ada", "lung")
        self.requeue(connection)
        if answered:
            connection.execute(sa.update(review_item).values(needs=2))
            say(connection, "bob", "heart")
        self.undo(connection, "ada")
        assert self.states(connection) == {"request-1": "withdrawn", "request-9": "open"}
        assert kept(connection) == []
        number = connection.scalar(
            sa.select(review_item.c.id).where(review_item.c.request_id == "request-1")
        )
        act = Act("again", "ada", Answer("label", "liver"))
        assert answer_item(connection, "organ", number or 0, act, now=NOW) == "decided"
        assert [row[:2] for row in kept(connection)] == [("request-1", "liver")]
        assert self.states(connection)["request-9"] == "open"

    def test_what_others_said_of_an_item_with_a_twin_counts(self, connection: Connection) -> None:
        add(connection, 1, twice=True)
        say(connection, "bob", "heart")
        say(connection, "ada", "heart")
        self.requeue(connection)
        self.undo(connection, "ada")
        assert [row[:3] for row in kept(connection)] == [("request-1", "heart", "bob")]
        assert self.states(connection)["request-9"] == "open"

    def test_a_skip_can_be_undone(self, connection: Connection) -> None:
        add(connection, 1)
        say(connection, "ada", Answer("skip", reason="unsure"))
        self.undo(connection, "ada")
        assert take(connection, "ada") == 1

    def test_what_others_said_remains(self, connection: Connection) -> None:
        add(connection, 1, twice=True)
        say(connection, "ada", "lung")
        say(connection, "bob", "liver")
        say(connection, "eve", "lung")
        self.undo(connection, "bob")
        assert [row[1] for row in kept(connection)] == ["lung"]

    def test_a_label_that_a_memory_has_read_stays(self, connection: Connection) -> None:
        add(connection, 1)
        say(connection, "ada", "lung")
        newest = connection.scalar(sa.select(sa.func.max(feedback.c.id)))
        read = MemoryRevision("organ", 1, NOW, NOW, "", "", "", 1, newest, 1, 1, True, "test")
        append_revision(connection, read)
        with pytest.raises(InvalidFeedback, match="label it again"):
            self.undo(connection, "ada")

    def test_an_act_is_undone_once_and_by_its_author(self, connection: Connection) -> None:
        add(connection, 1)
        say(connection, "ada", "lung", act="a")
        with pytest.raises(UnknownRequest):
            undo_act(connection, "organ", person="bob", act="a", now=NOW)
        self.undo(connection, "ada")
        with pytest.raises(UnknownRequest):
            undo_act(connection, "organ", person="ada", act="a", now=NOW)


class TestSeveralPhrases:
    @pytest.fixture(autouse=True)
    def log(self, connection: Connection) -> None:
        """Phrase n is asked n times."""
        rows = [
            asdict(
                logged(
                    number,
                    request_id=f"request-{number}-{turn}",
                    occurred_at=NOW - timedelta(minutes=turn),
                )
            )
            for number in (1, 2, 3)
            for turn in range(number)
        ]
        connection.execute(inference.insert(), rows)

    def fix(self, connection: Connection, *phrases: str, act: str = "a") -> int:
        answer = Act(act, "ada", Answer("label", "lung"))
        return len(fix_phrases(connection, "organ", phrases, answer, now=NOW))

    def test_the_preview_counts_the_answers(self, connection: Connection) -> None:
        found = logged_phrases(connection, "organ", ["phrase 3", "phrase 2", "unheard"])
        assert [(phrase.cleaned, phrase.answers) for phrase in found] == [
            ("phrase 3", 3),
            ("phrase 2", 2),
        ]

    def test_the_count_of_a_phrase_is_bounded_and_its_newest_answer_is_not(
        self, connection: Connection, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("monitoring.review.fixes.COUNTED", 2)
        found = logged_phrases(connection, "organ", ["phrase 3", "phrase 1"])
        assert [(phrase.answers, phrase.has_more) for phrase in found] == [(2, True), (1, False)]
        assert [phrase.newest.request_id for phrase in found] == ["request-3-0", "request-1-0"]

    def test_each_phrase_gets_one_label(self, connection: Connection) -> None:
        assert self.fix(connection, "phrase 2", "phrase 3", "phrase 3", "unheard") == 2
        assert [row[:4] for row in kept(connection)] == [
            ("request-2-0", "lung", "ada", "correction"),
            ("request-3-0", "lung", "ada", "correction"),
        ]

    def test_a_waiting_phrase_is_answered_in_the_queue(self, connection: Connection) -> None:
        add(connection, 2)
        self.fix(connection, "phrase 2")
        assert count_waiting(connection, "organ") == 0
        assert len(kept(connection)) == 1

    def test_sent_again_it_counts_once_and_undo_takes_all_back(
        self, connection: Connection
    ) -> None:
        for _ in range(2):
            self.fix(connection, "phrase 2", "phrase 3")
        assert len(kept(connection)) == 2
        undo_act(connection, "organ", person="ada", act="a", now=NOW)
        assert kept(connection) == []


@pytest.mark.parametrize("needs", [1, 2])
def test_reviewers_at_the_same_moment_share_no_more_than_the_items_need(
    engine: Engine, needs: int
) -> None:
    """So many items that nobody would be left over, and a start of all at once, five times."""
    for turn in range(5):
        with engine.begin() as connection:
            numbers = range(10 * turn, 10 * turn + REVIEWERS // needs)
            add(connection, *numbers, twice=needs == 2, classifier=f"turn {turn}")
        together = Barrier(REVIEWERS)

        def take_one(number: int, together: Barrier = together, turn: int = turn) -> int:
            with engine.begin() as connection:
                together.wait()
                found = next_item(connection, f"turn {turn}", person=f"p{number}", now=NOW)
                assert found is not None
                return found.id

        with ThreadPoolExecutor(REVIEWERS) as pool:
            taken = Counter(pool.map(take_one, range(REVIEWERS)))
        assert set(taken.values()) == {needs}


def test_ten_reviewers_of_50_000_items_get_none_twice_and_lose_none(engine: Engine) -> None:
    """Each reviewer takes 30 items; of all items that anybody took, each is decided once."""
    with engine.begin() as connection:
        add(connection, 0)
        connection.execute(sa.text(MANY), {"count": 50_000 - 1})
    times: list[float] = []

    def review(person: str) -> list[int]:
        seen = []
        for _ in range(30):
            started = perf_counter()
            with engine.begin() as connection:
                found = next_item(connection, "organ", person=person, now=NOW)
            times.append(perf_counter() - started)
            assert found is not None
            seen.append(found.id)
            act = Act(f"{person}-{found.id}", person, Answer("label", "lung"))
            with engine.begin() as connection:
                assert answer_item(connection, "organ", found.id, act, now=NOW) == "decided"
        return seen

    with ThreadPoolExecutor(REVIEWERS) as pool:
        seen = [each for items in pool.map(review, map(str, range(REVIEWERS))) for each in items]
    assert len(set(seen)) == len(seen) == 30 * REVIEWERS
    with engine.connect() as connection:
        assert len(kept(connection)) == len(seen)
        assert count_waiting(connection, "organ") == 50_000 - len(seen)
    middle = sorted(times)[len(times) // 2]
    print(f"next item: median {1000 * middle:.1f} ms, largest {1000 * max(times):.1f} ms")
    assert middle < SLOWEST
