from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitoring.label_mix import compare_labels

COUNTS = st.dictionaries(st.sampled_from("abcdef"), st.integers(1, 1000))


@given(COUNTS, COUNTS)
def test_every_label_of_both_snapshots_appears_once_and_the_shares_add_up(
    now: dict[str, int], before: dict[str, int]
) -> None:
    mix = compare_labels(now, before)
    assert Counter(change.label for change in mix.changes) == Counter({*now, *before})
    assert sum(change.share for change in mix.changes) == pytest.approx(float(bool(now)))
    assert sum(change.share_before for change in mix.changes) == pytest.approx(float(bool(before)))
    assert (set(mix.new), set(mix.gone)) == (set(now) - set(before), set(before) - set(now))


@given(COUNTS, COUNTS)
def test_the_moved_share_is_a_distance(now: dict[str, int], before: dict[str, int]) -> None:
    moved = compare_labels(now, before).moved
    assert 0 <= moved <= 1 + 1e-9
    assert moved == pytest.approx(compare_labels(before, now).moved)
    assert compare_labels(now, now).moved == 0
    twice = {label: 2 * rows for label, rows in now.items()}
    assert compare_labels(twice, now).moved == pytest.approx(0)


def test_mixes_without_a_common_label_differ_in_every_row() -> None:
    assert compare_labels({"a": 3}, {"b": 9}).moved == 1
