"""Windows of history: the shortest that is enough, and old rules that only cost."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pytest

from core.errors import TrainingImpossible
from core.params.schema import ClassifierParams
from pipelines.history import YEAR, Fitting, HistoryComparison, compare_histories, possible_windows
from pipelines.stages.labelled_rows import LabelledRows
from tests.support.training import LAST_DAY, WORDS, phrases_of, vectors_of

BLOCK = ClassifierParams.model_validate(
    {"source": {"query": "queries/q.sql", "label": "organ"}, "head": "logistic"}
)
FITTING = Fitting(BLOCK, vectors_of, "words-1", seed=7)


def rows_over(years: int, *, swapped_before: int = 0, a_day: int = 2) -> LabelledRows:
    """Rows of `years` years; before the last `swapped_before` years two labels are swapped."""
    swap = {"heart": "lung", "lung": "heart", "bone": "bone"}
    random = np.random.default_rng(3)
    pool = [(phrase, label) for label in WORDS for phrase in phrases_of(label)]
    count = years * YEAR * a_day
    chosen = [pool[number] for number in random.integers(len(pool), size=count)]
    moments = [LAST_DAY - timedelta(days=number / a_day) for number in range(count)][::-1]
    limit = LAST_DAY - timedelta(days=YEAR * swapped_before)
    labels = [
        swap[label] if swapped_before and moment < limit else label
        for (_, label), moment in zip(chosen, moments, strict=True)
    ]
    phrases, codes = np.unique(
        np.array([phrase for phrase, _ in chosen], dtype=object), return_inverse=True
    )
    return LabelledRows(
        ids=np.array([str(number) for number in range(count)], dtype=object),
        labels=np.array(labels, dtype=object),
        regions=np.full(count, "", dtype=object),
        occurred_at=np.array([moment.replace(tzinfo=None) for moment in moments], "datetime64[us]"),
        from_source=np.ones(count, bool),
        phrase_codes=codes,
        phrases=phrases,
    )


def compare(rows: LabelledRows, windows: list[int]) -> HistoryComparison:
    return compare_histories(rows, windows=windows, fitting=FITTING, report=lambda line: None)


def test_one_year_is_enough_where_nothing_changes() -> None:
    comparison = compare(rows_over(3), [YEAR, 2 * YEAR, 3 * YEAR])
    assert comparison.recommended == YEAR
    assert [window.rows for window in comparison.windows] == sorted(
        window.rows for window in comparison.windows
    )


def test_years_of_an_old_rule_are_left_out() -> None:
    comparison = compare(rows_over(4, swapped_before=1), [YEAR, 2 * YEAR, 4 * YEAR])
    one, _, four = comparison.windows
    assert comparison.recommended == YEAR
    assert one.weighted_f1 > four.weighted_f1 + 0.2
    assert not four.enough and four.behind_at_most > four.behind > 0.2


def test_windows_longer_than_the_data_are_left_out() -> None:
    assert possible_windows(rows_over(2), years=5) == [YEAR, 2 * YEAR]


def test_windows_without_test_rows_are_refused() -> None:
    with pytest.raises(TrainingImpossible):
        compare(rows_over(1).only(np.zeros(2 * YEAR, bool)), [YEAR])
