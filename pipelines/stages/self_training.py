"""A second fit that also learns the judged head's own confident answers, kept where it gains.

Pseudo-labels, as in D.-H. Lee (2013). Test rows choose no phrase: they only compare the two heads.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from pipelines.bias.clustered import mean
from pipelines.model.abstention import fit_score
from pipelines.model.arrays import Bool, Float32, Int64, Strings
from pipelines.model.head_file import Head
from pipelines.model.heads import Heads
from pipelines.model.novelty import novelty
from pipelines.model.self_training import ALL_UNSURE, NO_PHRASES, ON, ONE_LABEL, state_of
from pipelines.model.training import TrainingRows
from pipelines.stages.abstention_rule import Unseen, choose_rule

if TYPE_CHECKING:
    from pipelines.model.embedder import Embed
    from pipelines.unlabelled import UnlabelledPhrases

CHUNK = 4096

Fits = Callable[[TrainingRows], Iterator[Head]]
"""Training pairs -> the judged head, then the served one; see `head_fits`."""


@dataclass(frozen=True)
class Answered:
    """The judged head's answers to phrases, (n,) each; `codes` are places among its labels."""

    codes: Int64
    confidence: Float32
    novelty: Float32


@dataclass(frozen=True)
class Joining:
    """The phrases that join: `chosen` bool (n,) and the `labels` of all; why others do not."""

    chosen: Bool
    labels: Strings
    left_out: Mapping[str, int]


def fit_self_trained(
    rows: TrainingRows,
    unlabelled: UnlabelledPhrases,
    spec: Mapping[str, Any],
    *,
    fits: Fits,
    embed: Embed,
) -> tuple[Heads, dict[str, Any]]:
    """Fit heads on the labelled rows, then with the confident answers; return the better ones.

    `spec` is the block `self_training` with the policy `abstain` of the classifier. Also returns
    the report. The second fit stops after its judged head where it does not gain.
    """
    plain = fits(rows)
    judged = next(plain)
    report = {
        "phrases": len(unlabelled.cleaned),
        "asks": sum(unlabelled.asks),
        "problem": unlabelled.problem,
    }
    if not unlabelled.cleaned:
        return Heads(judged, next(plain)), {**report, "state": NO_PHRASES}

    vectors = embed(list(unlabelled.cleaned))
    joining = choose_joining(judged, rows.without_test(), unlabelled, vectors, spec)
    report |= describe_joining(joining, unlabelled)
    if problem := misfit_joining(joining):
        return Heads(judged, next(plain)), {**report, "state": problem}

    taught = fits(join_rows(rows, joining, unlabelled, vectors, weight=spec["weight"]))
    candidate = next(taught)
    report |= measure_gain(candidate, judged, rows.tested())
    if report["state"] != ON:
        return Heads(judged, next(plain)), report
    return Heads(candidate, next(taught)), report


def choose_joining(
    judged: Head,
    rows: TrainingRows,
    unlabelled: UnlabelledPhrases,
    vectors: Float32,
    spec: Mapping[str, Any],
) -> Joining:
    """Choose the phrases whose answer is sure, of a known kind, and would not be refused.

    The validation slice sets the limits of novelty and refusal. A label gets no more phrases than
    it has labelled ones, the surest first: a frequent label cannot flood the rare ones.
    """
    answers = answer_phrases(judged, list(unlabelled.cleaned), vectors)
    held = rows.validation if rows.validation.any() else np.ones(len(rows.labels), bool)
    known = answer_phrases(judged, rows.cleaned[held].tolist(), rows.vectors[held])
    names = np.array(judged.labels, dtype=str)
    right: Bool = names[known.codes] == rows.labels[held]
    limit = fit_score(known.confidence, known.novelty).novelty_limit

    sure = answers.confidence >= spec["min_confidence"]
    near = answers.novelty <= limit
    refused = np.zeros(len(sure), bool)
    if spec["abstain"]:
        rule = choose_rule(Unseen(known.confidence, known.novelty, right), spec["abstain"]).rule
        if rule is not None:
            refused = np.array(rule.refuses(answers.confidence, answers.novelty), bool)

    eligible = sure & near & ~refused
    most = {name: int(count) for name, count in Counter(rows.labels.tolist()).items()}
    chosen = within_labels(answers, eligible, [most.get(name, 0) for name in judged.labels])

    left_out = {
        "unsure": ~sure,
        "novel": sure & ~near,
        "refused": sure & near & refused,
        "above_the_labelled": eligible & ~chosen,
    }
    counts = {reason: int(marks.sum()) for reason, marks in left_out.items()}
    return Joining(chosen, names[answers.codes], counts)


def answer_phrases(head: Head, cleaned: list[str], vectors: Float32) -> Answered:
    """Answer phrases in parts: a table of all scores may be large."""
    codes = np.zeros(len(cleaned), np.int64)
    confidence = np.zeros(len(cleaned), np.float32)
    for start in range(0, len(cleaned), CHUNK):
        part = slice(start, start + CHUNK)
        shares = head.probabilities(cleaned[part], vectors[part])
        codes[part] = shares.argmax(axis=1)
        confidence[part] = shares.max(axis=1)
    return Answered(codes, confidence, novelty(head, vectors))


def within_labels(answers: Answered, eligible: Bool, most: list[int]) -> Bool:
    """Keep the surest of the eligible phrases of each label, at most `most` (labels,) of them."""
    chosen = np.zeros(len(eligible), bool)
    taken = [0] * len(most)
    for place in np.argsort(-answers.confidence, kind="stable").tolist():
        code = int(answers.codes[place])
        if eligible[place] and taken[code] < most[code]:
            taken[code] += 1
            chosen[place] = True
    return chosen


def misfit_joining(joining: Joining) -> str | None:
    """Return why nothing may join; None when something may."""
    labels = np.unique(joining.labels[joining.chosen])
    if not len(labels):
        return ALL_UNSURE
    return ONE_LABEL if len(labels) == 1 else None


def join_rows(
    rows: TrainingRows,
    joining: Joining,
    unlabelled: UnlabelledPhrases,
    vectors: Float32,
    *,
    weight: float,
) -> TrainingRows:
    """Add the chosen phrases, each as `weight` training rows, outside the validation slice.

    Inside of it, a head would be calibrated on its own answers.
    """
    chosen = joining.chosen
    count = int(chosen.sum())
    yes = np.ones(count, bool)
    joined = replace(
        rows,
        cleaned=np.append(rows.cleaned, np.array(unlabelled.cleaned, dtype=object)[chosen]),
        labels=np.append(rows.labels, joining.labels[chosen]),
        weights=np.append(rows.weights, np.full(count, weight)),
        vectors=np.concatenate([rows.vectors, vectors[chosen]]),
        validation=np.append(rows.validation, ~yes),
    )
    if rows.test_weights is not None:
        joined = replace(joined, test_weights=np.append(rows.test_weights, np.zeros(count)))
    if rows.present is not None:
        joined = replace(joined, present=np.append(rows.present, yes))
    if rows.present_with_test is not None:
        joined = replace(joined, present_with_test=np.append(rows.present_with_test, yes))
    return joined


def describe_joining(joining: Joining, unlabelled: UnlabelledPhrases) -> dict[str, Any]:
    """Return how many phrases join, by label too, the answers of clients behind, and the rest."""
    counts = Counter(joining.labels[joining.chosen].tolist())
    return {
        "joined": int(joining.chosen.sum()),
        "joined_asks": int(np.array(unlabelled.asks)[joining.chosen].sum()),
        "joined_by_label": {label: int(count) for label, count in sorted(counts.items())},
        "left_out": dict(joining.left_out),
    }


def measure_gain(candidate: Head, judged: Head, test: TrainingRows) -> dict[str, Any]:
    """Compare two judged heads on the test rows: the state, and the gain with its 95 % interval.

    Rows of one phrase are answered alike, so the interval counts phrases.
    """
    right = [
        np.array(head.labels, dtype=str)[
            answer_phrases(head, test.cleaned.tolist(), test.vectors).codes
        ]
        == test.labels
        for head in (candidate, judged)
    ]
    _, phrases = np.unique(test.cleaned.astype(str), return_inverse=True)
    rows = test.weights.astype(np.int64)
    ours, theirs, clusters = (np.repeat(column, rows) for column in (*right, phrases))
    gain = mean(ours.astype(np.float64) - theirs, clusters)
    return {
        "state": state_of(gain.value),
        "rows": len(ours),
        "test_phrases": int(phrases.max()) + 1,
        "accuracy": round(float(ours.mean()), 6),
        "accuracy_without": round(float(theirs.mean()), 6),
        "gain": round(gain.value, 6),
        "gain_low": round(gain.low, 6),
        "gain_high": round(gain.high, 6),
    }
