"""Pins in the request path: who is answered with one, what is logged, what leaves the caches."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from sqlalchemy.engine import Connection

from bentos.answering.answers import PhraseRequest
from bentos.answering.encoding import encode_answer
from bentos.answering.warming import refuse_meaningless
from bentos.heads import pins as followed
from bentos.heads.pins import PINS, PinFollower, encode_pins, load_pins
from bentos.http.schemas import PredictionResponse
from core.contracts import Deployment, ModelVersion, Prediction
from core.errors import HeadRefused
from core.pins import KnownPins, Pin
from tests.support.heads import champion, store_head
from tests.support.pins import MOMENT, pin_of
from tests.support.request_paths import Bench

CONNECTION: Connection = None  # type: ignore[assignment]  # the table is a variable of the test


def other_than(label: str) -> str:
    return "lung" if label == "heart" else "heart"


def test_a_pinned_phrase_is_answered_flagged_and_logged_beside_the_versions_answer(
    bench: Bench,
) -> None:
    [before] = bench.answer("A")
    pin = pin_of("a", other_than(before.label), number=7)
    bench.answers.swap_pins([pin])
    pinned, stranger = bench.answer("a", "b")
    assert (pinned.label, pinned.pinned, pinned.probability, pinned.alternatives) == (
        pin.label,
        True,
        1.0,
        [],
    )
    assert (before.pinned, stranger.pinned) == (False, False)
    first, second, third = bench.logged()
    version = ("label", "probability", "alternatives", "version", "cleaned")
    assert [second[name] for name in version] == [first[name] for name in version]
    assert (second["pin"], second["pinned_label"], second["flags"]) == (7, pin.label, ["pinned"])
    for row in (first, third):
        assert (row["flags"], "pin" in row, "pinned_label" in row) == ([], False, False)


def test_a_pin_rests_while_the_version_says_the_same(bench: Bench) -> None:
    [before] = bench.answer("a")
    bench.answers.swap_pins([pin_of("a", before.label)])
    [answer] = bench.answer("a")
    assert answer == msgspec.structs.replace(before, request_id=answer.request_id, cached=True)
    assert all(row["flags"] == [] for row in bench.logged())


def test_a_pin_wakes_where_the_served_version_says_otherwise_and_rests_again(
    bench: Bench,
) -> None:
    phrases = "abcdefghijkl"
    first = {
        text: answer.label for text, answer in zip(phrases, bench.answer(*phrases), strict=True)
    }
    bench.answers.swap_pins(
        [pin_of(text, label, number) for number, (text, label) in enumerate(first.items())]
    )
    assert not any(answer.pinned for answer in bench.answer(*phrases))
    bench.promote("organ", "2")
    answers = dict(zip(phrases, bench.answer(*phrases), strict=True))
    own = {row["cleaned"]: row["label"] for row in bench.logged() if row["version"] == "2"}
    awake = {text for text, answer in answers.items() if answer.pinned}
    assert awake == {text for text in phrases if own[text] != first[text]}
    assert 0 < len(awake) < len(phrases)
    assert {text: answer.label for text, answer in answers.items()} == first
    bench.promote("organ", "1")
    assert not any(answer.pinned for answer in bench.answer(*phrases))


def test_a_pin_answers_whoever_plays_champion_or_canary(bench: Bench) -> None:
    [before] = bench.answer("a")
    pin = pin_of("a", "liver")
    bench.answers.swap_pins([pin])
    other = store_head(bench.home, "organ", "2")
    canary = Deployment(other, "canary", 1.0, MOMENT, "test")
    bench.roll_out(champion(store_head(bench.home, "organ", "1")), canary=canary)
    [by_canary] = bench.answer("a")
    bench.roll_out(champion(other))
    [promoted] = bench.answer("a")
    bench.roll_out(champion(store_head(bench.home, "organ", "1")))
    [rolled_back] = bench.answer("a")
    answers = (by_canary, promoted, rolled_back)
    assert [answer.role for answer in answers] == ["canary", "champion", "champion"]
    assert {answer.label for answer in answers} == {"liver"} != {before.label}


def test_a_version_requested_by_number_answers_for_itself(bench: Bench) -> None:
    [before] = bench.answer("a")
    bench.answers.swap_pins([pin_of("a", "liver")])
    live = bench.heads.current["organ"].champion
    for _ in range(2):  # computed, then from the cache
        requests = [PhraseRequest("a")]
        [body] = asyncio.run(bench.answers.answer("organ", requests, model=live))
        asked = msgspec.json.decode(body, type=PredictionResponse)
        assert (asked.label, asked.pinned) == (before.label, False)
    assert bench.answer("a")[0].label == "liver"
    assert [row["flags"] for row in bench.logged()] == [[], [], [], ["pinned"]]


def test_a_shadow_scores_for_itself(bench: Bench) -> None:
    other = store_head(bench.home, "organ", "2")
    shadow = Deployment(other, "shadow", 1.0, MOMENT, "test")
    bench.roll_out(champion(store_head(bench.home, "organ", "1")), shadow=shadow)
    bench.answers.swap_pins([pin_of("a", "liver")])

    async def answered_and_shadowed() -> None:
        await bench.answers.answer("organ", [PhraseRequest("a")])
        await bench.answers.shadow.score_batch()

    asyncio.run(answered_and_shadowed())
    answer, scored = bench.logged()
    assert (answer["role"], answer["pinned_label"]) == ("champion", "liver")
    assert (scored["role"], scored["flags"], "pin" in scored) == ("shadow", [], False)
    assert scored["label"] != "liver"


def test_only_pinned_phrases_leave_the_cache(bench: Bench) -> None:
    bench.answer("a", "b", "c")
    bench.answers.swap_pins([pin_of("a", "liver"), pin_of("b", "liver", number=2)])
    assert {key[2] for key, _ in bench.answers.cache.newest()} == {"c"}
    bench.answer("a", "b", "c")
    bench.answers.swap_pins([pin_of("b", "liver", number=2)])
    assert {key[2] for key, _ in bench.answers.cache.newest()} == {"b", "c"}
    assert bench.answer("a")[0].pinned is False


def test_a_pin_of_another_classifier_changes_nothing(bench: Bench) -> None:
    bench.answer("a")
    bench.answers.swap_pins([pin_of("a", "liver", classifier="other")])
    assert bench.answer("a")[0].pinned is False
    assert len(bench.answers.cache) == 1


def test_a_pin_that_comes_while_an_answer_is_computed_is_not_lost(bench: Bench) -> None:
    phrases = [f"p{number}" for number in range(40)]

    async def race() -> None:
        asking = asyncio.create_task(
            bench.answers.answer("organ", [PhraseRequest(phrase) for phrase in phrases])
        )
        while not asking.done():
            await asyncio.sleep(0)
            if not len(bench.answers.pins):
                bench.answers.swap_pins([pin_of("p0", "liver")])
        await asking

    asyncio.run(race())
    assert bench.answer("p0")[0].label == "liver"


def test_a_row_without_a_pin_is_the_row_of_before(bench: Bench) -> None:
    """Journals are shipped by whichever release reads them next, which skips unknown names."""
    bench.answer("a")
    [row] = bench.logged()
    assert set(row) == {
        *("request_id", "phrase", "cached", "occurred_at", "role", "region", "routing_key"),
        *("latency_ms", "version", "classifier", "cleaned", "label", "probability"),
        *("alternatives", "embedder_id", "revision", "head_label", "abstained", "flags"),
    }


def test_pinned_answers_do_not_condemn_a_version_that_warms_up() -> None:
    """The warm-up refuses equal answers: those of the version count, not those of its pins."""
    model = ModelVersion("organ", "1", "head", "digest", "embedder")
    encoded = [
        encode_answer(
            model,
            f"p{number}",
            Prediction(f"label {number}", 0.5),
            revision=None,
            pin=pin_of(f"p{number}", "liver"),
        )
        for number in range(8)
    ]
    assert len({answer.response for answer in encoded}) == 1
    refuse_meaningless(encoded)
    with pytest.raises(HeadRefused):
        refuse_meaningless([encoded[0]] * 8)


class Table:
    """What the poll would read: `rows` as of now. `reads` counts the whole reads."""

    def __init__(self) -> None:
        self.known = KnownPins()
        self.reads = 0

    def write(self, *pins: Pin) -> None:
        self.known = KnownPins(self.known.newest + 1, pins)

    def newest(self, _connection: Any) -> int:
        return self.known.newest

    def read(self, _connection: Any, *, now: Any) -> KnownPins:
        self.reads += 1
        return self.known


@pytest.fixture
def table(monkeypatch: pytest.MonkeyPatch) -> Table:
    table = Table()
    monkeypatch.setattr(followed, "newest_pin_row", table.newest)
    monkeypatch.setattr(followed, "read_pins", table.read)
    return table


def test_the_follower_reads_the_pins_once_per_change(tmp_path: Path, table: Table) -> None:
    taken: list[Any] = []
    follower = PinFollower(tmp_path, taken.append)
    table.write(pin_of("a", "liver"))
    for _ in range(3):
        follower.refresh(CONNECTION, now=MOMENT)
    table.write()
    follower.refresh(CONNECTION, now=MOMENT)
    assert taken == [(pin_of("a", "liver"),), ()]
    assert table.reads == 2


def test_pins_end_by_themselves_while_the_database_is_away(tmp_path: Path, table: Table) -> None:
    taken: list[Any] = []
    follower = PinFollower(tmp_path, taken.append)
    ending = pin_of("a", "liver", until=MOMENT + timedelta(seconds=1))
    table.write(ending, pin_of("b", "liver", number=2))
    follower.refresh(CONNECTION, now=MOMENT)
    for second in (0.5, 1, 2):
        follower.retire(now=MOMENT + timedelta(seconds=second))
    assert [len(pins) for pins in taken] == [2, 1]


def test_a_start_without_the_database_answers_with_the_last_known_pins(
    tmp_path: Path, table: Table
) -> None:
    packed = tmp_path / "cold"
    packed.mkdir()
    (packed / PINS).write_bytes(encode_pins(KnownPins(1, (pin_of("a", "liver"),))))
    taken: list[Any] = []
    PinFollower(tmp_path / "caches", taken.append).start_cold(packed, now=MOMENT)
    assert taken == [(pin_of("a", "liver"),)], "those of the bento, on a new machine"

    table.known = KnownPins(4, (pin_of("b", "liver", number=4),))
    follower = PinFollower(tmp_path / "caches", taken.append)
    follower.refresh(CONNECTION, now=MOMENT)
    follower.save()
    PinFollower(tmp_path / "caches", taken.append).start_cold(packed, now=MOMENT)
    assert taken[-1] == (pin_of("b", "liver", number=4),), "newer than those of the bento"


def test_a_group_follows_its_own_classifiers(tmp_path: Path, table: Table) -> None:
    taken: list[Any] = []
    follower = PinFollower(tmp_path, taken.append, serves=lambda name: name == "organ")
    table.write(pin_of("a", "liver"), pin_of("a", "liver", number=2, classifier="other"))
    follower.refresh(CONNECTION, now=MOMENT)
    follower.save()
    assert taken == [(pin_of("a", "liver"),)]
    assert load_pins(tmp_path).pins == taken[0]
