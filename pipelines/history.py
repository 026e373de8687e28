"""How many years of history a classifier needs: one head per window, the same newest test rows."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from core.params.schema import ClassifierParams
from pipelines.gate.bounds import bound_gain
from pipelines.gate.scores import encode, f1_differences, weighted_f1
from pipelines.model.arrays import Strings
from pipelines.model.embedder import Embed
from pipelines.model.heads import fit_head
from pipelines.model.memory import AppliedMemory
from pipelines.stages.labelled_rows import LabelledRows, leave_out_rare, within_history
from pipelines.stages.memories import labels_memory
from pipelines.stages.split import labels_table, refuse_impossible, split_rows, training_table
from pipelines.stages.train import rows_of

YEAR = 365


@dataclass(frozen=True)
class HistoryWindow:
    """The judged head of one window, with a memory of its rows beside it.

    `rows` train it, `seconds` of CPU time fit it. `weighted_f1` is that of the test rows, and
    `behind` what it lacks to the best window: at most `behind_at_most`, a one-sided 95 % bound over
    phrases. `enough` says that the bound is within the gate's `max_weighted_f1_drop`.
    """

    days: int
    rows: int
    seconds: float
    weighted_f1: float
    behind: float
    behind_at_most: float
    enough: bool


@dataclass(frozen=True)
class HistoryComparison:
    """All windows, the shortest first, and the days of the shortest one that is enough."""

    windows: tuple[HistoryWindow, ...]
    recommended: int
    test_rows: int


@dataclass(frozen=True)
class Fitting:
    """How heads are fitted: the block of the classifier, its embedder, the seed."""

    block: ClassifierParams
    embed: Embed
    embedder_id: str
    seed: int


@dataclass(frozen=True)
class _Fitted:
    days: int
    rows: int
    seconds: float
    answers: Strings


def compare_histories(
    rows: LabelledRows,
    *,
    windows: Sequence[int],
    fitting: Fitting,
    report: Callable[[str], None],
) -> HistoryComparison:
    """Fit one head per window and compare the answers on the test rows of the longest.

    `windows` are days back from the newest row, the shortest first. Labels that are rare in a
    window are not learnt there, and their test rows count as wrong. Raises `TrainingImpossible`.
    """
    block = fitting.block
    longest = within_history(rows, days=windows[-1])
    usable, left_out = leave_out_rare(longest, min_rows=block.min_rows_per_label)
    masks = split_rows(usable, test_days=block.test_days, seed=fitting.seed)
    refuse_impossible(usable, masks, left_out)
    tested = usable.only(masks.test)
    trained = usable.only(~masks.test)

    fitted = []
    for days in windows:
        fitted.append(_fit(trained, tested, days, fitting))
        report(f"{days} days: {fitted[-1].rows:,} rows, {fitted[-1].seconds:.0f} CPU seconds")
    return _compare(fitted, tested, margin=block.gate.max_weighted_f1_drop)


def possible_windows(rows: LabelledRows, *, years: int) -> list[int]:
    """Return 1 to `years` years in days, without those that add no row."""
    reach = [YEAR * year for year in range(1, years + 1)]
    counts = [len(within_history(rows, days=days).ids) for days in reach]
    return [
        days
        for days, count, before in zip(reach, counts, [0, *counts], strict=False)
        if count > before
    ]


def _fit(trained: LabelledRows, tested: LabelledRows, days: int, fitting: Fitting) -> _Fitted:
    oldest = tested.occurred_at.max() - np.timedelta64(days, "D")
    inside = trained.only(trained.occurred_at > oldest)
    inside, _ = leave_out_rare(inside, min_rows=fitting.block.min_rows_per_label)
    training = rows_of(training_table(inside, seed=fitting.seed), embed=fitting.embed)
    began = time.process_time()
    head = fit_head(
        fitting.block.head,
        training=training,
        embedder_id=fitting.embedder_id,
        seed=fitting.seed,
        favour=fitting.block.favour,
    )
    seconds = time.process_time() - began

    none = np.zeros(len(inside.ids), bool)
    remembered = labels_memory(labels_table(inside, test=none), classifier="history")
    memory = AppliedMemory.beside(remembered, head.labels)
    places, phrase_of_row = np.unique(tested.phrase_codes, return_inverse=True)
    phrases = [str(phrase) for phrase in tested.phrases[places]]
    shares = memory.apply(phrases, head.probabilities(phrases, fitting.embed(phrases)))
    answers = np.array(memory.labels, dtype=object)[shares.argmax(axis=1)][phrase_of_row]
    return _Fitted(days, len(inside.ids), seconds, answers)


def _compare(
    fitted: Sequence[_Fitted], tested: LabelledRows, *, margin: float
) -> HistoryComparison:
    scores = [weighted_f1(tested.labels, window.answers) for window in fitted]
    best = int(np.argmax(scores))
    windows = []
    for place, (window, score) in enumerate(zip(fitted, scores, strict=True)):
        lower = _gain_bound(tested, window.answers, fitted[best].answers)
        behind_at_most = 0.0 if place == best else -lower
        windows.append(
            HistoryWindow(
                window.days,
                window.rows,
                round(window.seconds, 1),
                score,
                behind=scores[best] - score,
                behind_at_most=behind_at_most,
                enough=behind_at_most <= margin,
            )
        )
    recommended = next(window.days for window in windows if window.enough)
    return HistoryComparison(tuple(windows), recommended, len(tested.ids))


def _gain_bound(tested: LabelledRows, answers: Strings, best: Strings) -> float:
    """Return the lower 95 % bound of the gain over `best`, with phrases as clusters."""
    _, phrases = np.unique(tested.phrase_codes, return_inverse=True)
    truth, ours, theirs = encode(
        *(np.asarray(column, dtype=str) for column in (tested.labels, answers, best))
    )
    differences = f1_differences(truth, ours, theirs, np.ones(len(phrases)))
    shares = np.bincount(phrases) / len(phrases)
    return bound_gain(np.bincount(phrases, differences), shares).lower
