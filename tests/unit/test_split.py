from __future__ import annotations

import dataclasses
import random
from collections.abc import Sequence
from datetime import timedelta

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import TrainingImpossible
from pipelines.model.arrays import MAX_LABELS
from pipelines.stages.labelled_rows import (
    LabelledRows,
    labelled_rows,
    leave_out_rare,
    within_history,
)
from pipelines.stages.split import (
    SplitMasks,
    chosen_phrases,
    labels_table,
    left_behind,
    recent_table,
    refuse_impossible,
    report,
    split_rows,
    training_table,
    with_left_out,
)
from tests.support.training import LAST_DAY

Row = tuple[str, str | None, float]  # phrase, label, age in days


def table(rows: Sequence[Row]) -> pa.Table:
    return pa.table(
        {
            "id": [f"{number:04d}" for number in range(len(rows))],
            "phrase": pa.array([phrase for phrase, _, _ in rows], pa.string()),
            "occurred_at": pa.array(
                [LAST_DAY - timedelta(days=age) for _, _, age in rows], pa.timestamp("us", "UTC")
            ),
            "region": pa.array([None] * len(rows), pa.string()),
            "origin": pa.array(["source"] * len(rows), pa.string()),
            "label": pa.array([label for _, label, _ in rows], pa.string()),
        }
    )


def rows_of(rows: Sequence[Row]) -> LabelledRows:
    return labelled_rows(table(rows), label="label")


def many(count: int = 400, days: float = 200) -> Sequence[Row]:
    generator = random.Random(4)
    return [
        (f"phrase {generator.randrange(60)}", generator.choice("xy"), generator.uniform(0, days))
        for _ in range(count)
    ] + [("now", "x", 0)]


def phrases_in(rows: LabelledRows, chosen: np.ndarray) -> set[str]:
    return set(rows.phrases[rows.phrase_codes[chosen]])


def test_phrases_are_cleaned_and_rows_without_label_or_phrase_skipped() -> None:
    useless: list = [
        ("hip", None, 1),
        ("hip", " \t", 1),
        (" \x00", "y", 1),
        (None, "y", 1),
        ("x" * 2001, "y", 1),
    ]
    rows = rows_of([("  Left KNEE ", "x", 2), ("left knee", "x", 1), *useless])
    assert left_behind(7, rows, rows) == {"unusable_rows": 5, "rows_before_history": 0}
    assert rows.phrases[rows.phrase_codes].tolist() == ["left knee", "left knee"]


def test_history_reaches_back_from_the_newest_row() -> None:
    rows = within_history(rows_of([("a", "x", 10.5), ("b", "x", 9.5), ("c", "x", 0)]), days=10)
    assert rows.phrases[rows.phrase_codes].tolist() == ["b", "c"]


def test_rare_labels_are_left_out_and_counted() -> None:
    remaining, left_out = leave_out_rare(
        rows_of([("a", "x", 3), ("b", "x", 2), ("c", "y", 1)]), min_rows=2
    )
    assert (remaining.labels.tolist(), left_out) == (["x", "x"], {"y": 1})


def test_test_rows_are_recent_and_share_no_recent_phrase_with_training() -> None:
    rows = rows_of(many())
    parts = split_rows(rows, test_days=90, seed=7)
    oldest = rows.occurred_at.max() - np.timedelta64(90, "D")
    assert (rows.occurred_at[parts.test] > oldest).all() and (
        rows.occurred_at[~parts.recent] <= oldest
    ).all()
    assert phrases_in(rows, parts.test) & phrases_in(rows, parts.recent & ~parts.test) == set()
    assert parts.test.any() and (parts.recent & ~parts.test).any()


def test_seen_says_whether_training_met_the_phrase() -> None:
    rows = rows_of(many())
    parts = split_rows(rows, test_days=90, seed=7)
    trained = phrases_in(rows, ~parts.test)
    before = phrases_in(rows, ~parts.recent)
    phrases = rows.phrases[rows.phrase_codes]
    assert parts.seen.tolist() == [phrase in trained for phrase in phrases]
    assert parts.seen_before.tolist() == [phrase in before for phrase in phrases]


@given(st.permutations(many(80)))
def test_the_split_does_not_depend_on_the_order_of_the_rows(shuffled: list[Row]) -> None:
    def summary(rows: LabelledRows) -> list[tuple]:
        parts = split_rows(rows, test_days=90, seed=7)
        return sorted(
            zip(
                rows.phrases[rows.phrase_codes],
                rows.occurred_at.tolist(),
                parts.test.tolist(),
                strict=True,
            )
        )

    assert summary(rows_of(shuffled)) == summary(rows_of(many(80)))


aged = st.tuples(
    st.sampled_from([f"phrase {number}" for number in range(12)]),
    st.sampled_from("xy"),
    st.floats(0, 200),
)
LATEST: Row = ("now", "x", 0)


@given(st.lists(aged, max_size=40), st.integers(1, 150))
def test_only_the_newest_days_test_and_no_recent_phrase_is_on_both_sides(
    recent: list[Row], test_days: int
) -> None:
    rows = rows_of([*recent, LATEST])
    parts = split_rows(rows, test_days=test_days, seed=7)
    oldest = rows.occurred_at.max() - np.timedelta64(test_days, "D")
    assert (rows.occurred_at[parts.test] > oldest).all()
    assert phrases_in(rows, parts.test) & phrases_in(rows, parts.recent & ~parts.test) == set()


@given(st.lists(aged, max_size=30), st.lists(aged, max_size=30))
def test_old_rows_that_are_added_move_no_row_into_the_test_or_out_of_it(
    recent: list[Row], old: list[Row]
) -> None:
    def tested(given: list[Row]) -> list[tuple]:
        rows = rows_of(given)
        chosen = rows.only(split_rows(rows, test_days=90, seed=7).test)
        return sorted(
            zip(
                chosen.phrases[chosen.phrase_codes],
                chosen.labels,
                chosen.occurred_at.tolist(),
                strict=True,
            )
        )

    older = [(phrase, label, 90 + age) for phrase, label, age in old]
    assert tested([*recent, LATEST, *older]) == tested([*recent, LATEST])


@given(st.lists(st.text(min_size=1), unique=True, min_size=1))
def test_a_phrase_is_chosen_by_itself(phrases: list[str]) -> None:
    alone = [bool(chosen_phrases([phrase], share=0.3, salt="s")[0]) for phrase in phrases]
    assert chosen_phrases(phrases, share=0.3, salt="s").tolist() == alone


def test_the_share_of_chosen_phrases_holds_and_salts_are_independent() -> None:
    phrases = [f"phrase {number}" for number in range(20_000)]
    first, second = (
        chosen_phrases(phrases, share=0.3, salt=salt) for salt in ("test-7", "validation-7")
    )
    assert np.mean(first) == pytest.approx(0.3, abs=0.015)
    assert np.mean(second[first]) == pytest.approx(0.3, abs=0.03)


def test_training_rows_are_distinct_with_counts_and_a_validation_slice_of_phrases() -> None:
    rows = rows_of(
        [("b", "x", 5), ("B ", "x", 4), ("b", "y", 3), ("a", "x", 2)]
        + [(f"p{number}", "x", 1) for number in range(500)]
    )
    trained = training_table(rows, seed=7).to_pydict()
    pairs = list(zip(trained["cleaned"], trained["label"], strict=True))
    assert pairs == sorted(set(pairs)) and sum(trained["rows"]) == len(rows.ids)
    assert trained["rows"][pairs.index(("b", "x"))] == 2
    by_phrase = dict(zip(trained["cleaned"], trained["validation"], strict=True))
    assert all(
        by_phrase[phrase] == chosen
        for phrase, chosen in zip(trained["cleaned"], trained["validation"], strict=True)
    )
    assert 0.05 < np.mean(trained["validation"]) < 0.16


def test_pairs_count_their_training_and_their_test_rows_apart() -> None:
    rows = rows_of([("b", "x", 5), ("b", "x", 4), ("b", "y", 3), ("a", "x", 2)])
    test = np.array([phrase == "b" and label == "y" for phrase, label in pairs_of(rows)])
    test[[phrase == "b" for phrase, _ in pairs_of(rows)].index(True)] = True
    table = training_table(rows, seed=7, test=test).to_pydict()
    counted = zip(table["cleaned"], table["label"], table["rows"], table["test_rows"], strict=True)
    assert list(counted) == [("a", "x", 1, 0), ("b", "x", 1, 1), ("b", "y", 0, 1)]
    labels = labels_table(rows, test=test).to_pydict()
    assert labels["id"] == list(rows.ids) and labels["test"] == test.tolist()
    assert list(zip(labels["cleaned"], labels["label"], strict=True)) == pairs_of(rows)


def test_the_present_label_is_the_one_that_came_to_stay() -> None:
    changed = [("a", "x", 60 - day) for day in range(30)] + [
        ("a", "y", 9 - day) for day in range(4)
    ]
    mixed = [("b", "xxyxyxxyx"[day], 40 - day) for day in range(9)]
    slip = [("c", "x", 40 - day) for day in range(9)] + [("c", "y", 1)]
    rows = rows_of([*changed, *mixed, *slip])
    test = np.array([pair == ("a", "y") for pair in pairs_of(rows)])
    table = training_table(rows, seed=7, test=test).to_pydict()
    columns = ("cleaned", "label", "present", "present_with_test")
    assert list(zip(*(table[name] for name in columns), strict=True)) == [
        ("a", "x", True, False),
        ("a", "y", False, True),
        ("b", "x", True, True),
        ("b", "y", False, False),
        ("c", "x", True, True),
        ("c", "y", False, False),
    ]


@pytest.mark.parametrize("past", [9, 50, 120, 200, 842])
def test_one_wrong_label_at_the_end_of_a_long_past_changes_no_present_label(past: int) -> None:
    agreeing = [("a", "x", 900.0 - day) for day in range(past)]
    once = rows_of([*agreeing, ("a", "y", 1)])
    assert training_table(once, seed=7)["present"].to_pylist() == [True, False]
    thrice = rows_of([*agreeing, *(("a", "y", day) for day in (3, 2, 1))])
    assert training_table(thrice, seed=7)["present"].to_pylist() == [False, True]


def test_an_act_that_fixes_many_answers_changes_no_rule() -> None:
    rows = rows_of([("a", "x", 60 - day) for day in range(50)])
    fixes = rows_of([("a", "y", 2.1), ("a", "y", 2.2), ("a", "y", 2.3)])
    given = dataclasses.replace(fixes, from_source=np.zeros(3, bool))
    fields = ("ids", "labels", "regions", "occurred_at", "from_source", "phrase_codes")
    joined = {name: np.concatenate([getattr(rows, name), getattr(given, name)]) for name in fields}
    both = LabelledRows(**joined, phrases=rows.phrases)
    assert training_table(both, seed=7)["present"].to_pylist() == [True, False]
    by_source = dataclasses.replace(both, from_source=np.ones(len(both.ids), bool))
    assert training_table(by_source, seed=7)["present"].to_pylist() == [False, True]


def pairs_of(rows: LabelledRows) -> list[tuple[str, str]]:
    return list(zip(rows.phrases[rows.phrase_codes], rows.labels, strict=True))


def test_rows_of_left_out_labels_are_recent_rows_too() -> None:
    history = rows_of([*many(), ("rare thing", "rare", 5), ("rare thing", "rare", 150)])
    rows, left_out = leave_out_rare(history, min_rows=3)
    recent = with_left_out(
        recent_table(rows, split_rows(rows, test_days=90, seed=7)), history, left_out=left_out
    ).to_pydict()
    added = [place for place, part in enumerate(recent["part"]) if part == "left out"]
    assert [
        (recent["cleaned"][place], recent["label"][place], recent["seen"][place]) for place in added
    ] == [("rare thing", "rare", False)]
    assert recent["occurred_at"] == sorted(recent["occurred_at"])


def test_the_report_adds_up() -> None:
    rows = rows_of(many())
    parts = split_rows(rows, test_days=90, seed=7)
    counts = report(500, rows, parts, {"rare": 3})
    assert counts["train_rows"] + counts["test_rows"] == counts["rows"] == 401
    assert (counts["stored_rows"], counts["left_out_rows"], counts["labels"]) == (500, 3, 2)


@pytest.mark.parametrize(
    ("given", "min_rows", "clause"),
    [
        ([], 2, "no labelled row"),
        ([("a", "x", 1), ("b", "y", 0)], 2, "the most frequent with 1 rows"),
        ([(f"p{number}", "x", number) for number in range(200)], 2, "only x"),
        (
            [(f"p{number}", "xy"[number % 2], 10 + number) for number in range(200)]
            + [("p0", "x", 0)],
            2,
            "none of 1 recent rows",
        ),
    ],
)
def test_rows_that_cannot_carry_a_classifier_are_refused(
    given: list[Row], min_rows: int, clause: str
) -> None:
    rows, left_out = leave_out_rare(rows_of(given), min_rows=min_rows)
    parts = split_rows(rows, test_days=5, seed=7)
    with pytest.raises(TrainingImpossible, match=clause) as refusal:
        refuse_impossible(rows, parts, left_out)
    assert refusal.value.wanted and refusal.value.do


def test_sound_rows_are_not_refused() -> None:
    rows = rows_of(many())
    refuse_impossible(rows, split_rows(rows, test_days=90, seed=7), {})


def test_a_label_known_from_test_rows_only_is_not_trained() -> None:
    rows = rows_of(
        [(f"p{number}", "x", 100) for number in range(50)]
        + [(f"q{number}", "y", 1) for number in range(50)]
    )
    test = rows.labels == "y"
    with pytest.raises(TrainingImpossible, match="only x"):
        refuse_impossible(
            rows, SplitMasks(recent=test, test=test, seen=~test, seen_before=~test), {}
        )


def test_a_fix_of_today_does_not_empty_the_test_days_of_an_old_source() -> None:
    rows = many()
    stored = table([*rows, ("fixed today", "y", -300.0)])
    origin = pa.array(["source"] * len(rows) + ["feedback"])
    stored = stored.set_column(stored.column_names.index("origin"), "origin", origin)
    with_fix = labelled_rows(stored, label="label")
    without = rows_of(rows)
    parts = split_rows(with_fix, test_days=90, seed=7)
    assert (
        int(parts.recent.sum()) == int(split_rows(without, test_days=90, seed=7).recent.sum()) + 1
    )
    assert parts.recent[-1]
    assert (
        len(within_history(with_fix, days=150).ids)
        == len(within_history(without, days=150).ids) + 1
    )


def test_more_labels_than_16_bits_can_number_are_refused_by_name() -> None:
    count = MAX_LABELS + 1
    codes = np.arange(count)
    rows = LabelledRows(
        ids=codes.astype(object),
        labels=codes.astype(object),
        regions=np.full(count, None, dtype=object),
        occurred_at=np.full(count, np.datetime64("2026-01-01")),
        from_source=np.ones(count, bool),
        phrase_codes=codes,
        phrases=codes.astype(str).astype(object),
    )
    test = codes % 2 == 0
    masks = SplitMasks(recent=~test | test, test=np.zeros(count, bool), seen=test, seen_before=test)
    with pytest.raises(TrainingImpossible, match="at most 65,535 labels") as refusal:
        refuse_impossible(rows, masks, {})
    assert refusal.value.came == "65,536"
