"""One trial: settings to a score on the slice that chooses; and the final comparison."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
import optuna

from core.params.heads import Favour, Head
from pipelines.gate.bounds import bound_gain
from pipelines.gate.scores import (
    count_labels,
    encode,
    f1_differences,
    favoured_f1,
    label_shares,
    max_code,
)
from pipelines.model.arrays import Float64, Int64, Strings
from pipelines.model.heads import fit_head
from pipelines.model.training import TrainingRows
from pipelines.stages.split import chosen_phrases
from pipelines.tuning.slices import Slices, only
from pipelines.tuning.space import suggest, with_settings

FIRST_SHARE = 0.25
"""Of the phrases to fit: a trial that is behind after them is pruned."""


@dataclass(frozen=True)
class Problem:
    """What is tuned: a head as params.yaml has it, on the slices of its training rows."""

    head: Head
    slices: Slices
    embedder_id: str
    seed: int
    favour: Favour = "weighted"


class Objective:
    """The favoured F1 of a trial's head on the phrases that choose. It never saw them."""

    def __init__(self, problem: Problem, *, deadline: float) -> None:
        self.problem = problem
        self.deadline = deadline  # of time.monotonic
        rows = problem.slices.fitting
        salt = f"first-{problem.seed}"
        first = chosen_phrases(rows.cleaned, share=FIRST_SHARE, salt=salt)
        self.parts = (only(rows, first, seed=problem.seed), rows)

    def __call__(self, trial: optuna.Trial) -> float:
        settings = suggest(trial, self.problem.head)
        head = with_settings(self.problem.head, settings)
        is_present = head == self.problem.head
        score = 0.0
        for step, rows in enumerate(self.parts):
            late = step > 0 and time.monotonic() > self.deadline
            if not is_present and (late or trial.should_prune()):
                raise optuna.TrialPruned
            score = self._score(head, rows)
            trial.report(score, step)
        return score

    def _score(self, head: Head, rows: TrainingRows) -> float:
        judging = self.problem.slices.choosing
        answers = answers_of(head, rows, judging, self.problem)
        truth, given = encode(judging.labels.astype(str), answers.astype(str))
        return favoured_f1(truth, given, judging.weights, self.problem.favour)


@dataclass(frozen=True)
class Confirmation:
    """Present and best settings on the slice that chose nothing, in the F1 that the block favours.

    `gain` lies between `lower` and `upper` with 90 %: two one-sided 95 % bounds over phrases.
    """

    present: float
    best: float
    gain: float
    lower: float
    upper: float
    phrases: int


def confirm(best: Head, problem: Problem) -> Confirmation:
    """Fit both on the other slices and compare their answers."""
    slices = problem.slices
    judging = slices.confirming
    fitted = slices.before_confirming
    present_answers = answers_of(problem.head, fitted, judging, problem)
    best_answers = answers_of(best, fitted, judging, problem)

    truth, ours, theirs = encode(
        *(
            np.asarray(column, dtype=str)
            for column in (judging.labels, best_answers, present_answers)
        )
    )
    weights = judging.weights
    favour = problem.favour
    differences = f1_differences(truth, ours, theirs, weights, favour)
    _, phrases = np.unique(judging.cleaned.astype(str), return_inverse=True)
    by_phrase = np.bincount(phrases, differences)
    shares = phrase_shares(truth, phrases, weights, favour)
    present_score = favoured_f1(truth, theirs, weights, favour)
    best_score = favoured_f1(truth, ours, weights, favour)
    return Confirmation(
        present=present_score,
        best=best_score,
        gain=best_score - present_score,
        lower=bound_gain(by_phrase, shares).lower,
        upper=-bound_gain(-by_phrase, shares).lower,
        phrases=len(by_phrase),
    )


def phrase_shares(truth: Int64, phrases: Int64, weights: Float64, favour: Favour) -> Float64:
    """Return how much each phrase counts in the favoured F1, without those that do not: float64.

    `truth` and `phrases`, int (n,), are codes. The sum is 1.
    """
    counts = count_labels(truth, truth, weights, labels=max_code(truth) + 1)
    by_row = label_shares(counts.actual, favour)[truth] * weights / counts.actual[truth]
    shares: Float64 = np.bincount(phrases, by_row).astype(np.float64)
    return shares[shares > 0]


def answers_of(head: Head, rows: TrainingRows, judging: TrainingRows, problem: Problem) -> Strings:
    """Return the label of each judged pair by a head that is fitted on `rows`."""
    fitted = fit_head(
        head,
        training=rows,
        embedder_id=problem.embedder_id,
        seed=problem.seed,
        favour=problem.favour,
    )
    probabilities = fitted.probabilities(judging.cleaned.tolist(), judging.vectors)
    answers: Strings = np.array(fitted.labels, dtype=object)[probabilities.argmax(axis=1)]
    return answers
