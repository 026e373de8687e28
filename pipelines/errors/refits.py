"""Refits on parts of the training phrases, for the learning curve and the gap."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from core.params.heads import EnsembleHead, Favour, HybridSvmHead, MlpHead
from core.params.heads import Head as HeadParams
from pipelines.errors.curve import LEAST_HELD, Refit
from pipelines.model.arrays import Bool, Float64, Int64, Strings
from pipelines.model.head_file import Head
from pipelines.model.heads import fit_head
from pipelines.model.training import TrainingRows, main_labels
from pipelines.not_measured import NotMeasured

SHARES = (0.125, 0.25, 0.5, 1.0)
"""Of the training phrases outside the validation slice."""
MOST_WORK = 10_000_000
"""Phrases times labels of all refits together. The demo's blocks have 8 million, which take the
default head 18 CPU seconds."""
MOST_HELD = 5000
"""Held-out phrases; the share of mistaken ones then has a standard error of at most .007."""
LEAST_FITTED = 20
SLICE_SHARE = 0.1
"""Of the phrases of a refit: the slice that its own calibration holds back."""
CHUNK_PHRASES = 4096


@dataclass(frozen=True)
class HeldOut:
    """Phrases that no refit has seen, each with its present label.

    Attributes
    ----------
    rows : the pairs
    newest : bool (n,), from the test part; the others are the validation slice
    """

    rows: TrainingRows
    newest: Bool


@dataclass(frozen=True)
class Refits:
    """What the refits answered.

    Attributes
    ----------
    kind : the kind of head that was fitted
    points : one per share, the smallest first
    held : what was answered
    answers : str (held,), those of the largest refit
    probability : float64 (held,), of these answers
    fitted : how many phrases the largest refit was fitted on
    fitted_right : share of them that it answers right
    share : share of the phrases outside the validation slice that they are
    """

    kind: str
    points: tuple[Refit, ...]
    held: HeldOut
    answers: Strings
    probability: Float64
    fitted: int
    fitted_right: float
    share: float


def curve_head(params: HeadParams) -> HeadParams:
    """Return the head that is refitted: the block's own, or the default one where that is slow.

    Four refits of a perceptron take minutes of Keras, and an ensemble has one.
    """
    return HybridSvmHead() if isinstance(params, MlpHead | EnsembleHead) else params


def fit_parts(
    params: HeadParams,
    rows: TrainingRows,
    *,
    embedder_id: str,
    seed: int,
    favour: Favour = "weighted",
) -> Refits | NotMeasured:
    """Fit the head on nested parts of the phrases outside the validation slice."""
    held = hold_out(rows)
    if len(held.newest) < LEAST_HELD:
        return NotMeasured(f"{len(held.newest)} phrases are held out, {LEAST_HELD} are needed")

    pool = _Pool.of(rows, seed)
    fitted = curve_head(params)
    points: list[Refit] = []
    largest: tuple[Head, TrainingRows] | None = None

    for count, sample in pool.samples():
        head = fit_head(fitted, training=sample, embedder_id=embedder_id, seed=seed, favour=favour)
        answers, _ = best_answers(head, held.rows)
        points.append(Refit(count, answers != held.rows.labels))
        largest = head, sample

    if largest is None:
        return NotMeasured(f"{pool.phrases} phrases outside the validation slice cannot be divided")
    return _measured(fitted.kind, points, held, *largest, of=pool.phrases)


def _measured(
    kind: str,
    points: list[Refit],
    held: HeldOut,
    head: Head,
    sample: TrainingRows,
    *,
    of: int,
) -> Refits:
    answers, probability = best_answers(head, held.rows)
    return Refits(
        kind=kind,
        points=tuple(points),
        held=held,
        answers=answers,
        probability=probability,
        fitted=points[-1].phrases,
        fitted_right=share_right(head, sample),
        share=points[-1].phrases / of,
    )


def share_right(head: Head, rows: TrainingRows) -> float:
    """Return the share of distinct phrases that are answered with their present label."""
    known = pick(rows, np.flatnonzero(main_labels(rows)))
    answers, _ = best_answers(head, known)
    return float(np.mean(answers == known.labels))


def best_answers(head: Head, rows: TrainingRows) -> tuple[Strings, Float64]:
    """Return the head's own label and its probability of each pair: (n,) each."""
    names = np.array(head.labels, dtype=object)
    labels = np.empty(len(rows.cleaned), dtype=object)
    probability = np.empty(len(rows.cleaned))
    for start in range(0, len(labels), CHUNK_PHRASES):
        part = slice(start, start + CHUNK_PHRASES)
        shares = head.probabilities(rows.cleaned[part].tolist(), rows.vectors[part])
        labels[part] = names[shares.argmax(axis=1)]
        probability[part] = shares.max(axis=1)
    return labels, probability


def hold_out(rows: TrainingRows) -> HeldOut:
    """Return the validation slice, and the phrases of the test part that were never trained on."""
    trained = rows.trained()
    learnt = set(rows.cleaned[trained].tolist())
    known = np.array([phrase in learnt for phrase in rows.cleaned.tolist()], bool)
    validation = trained & rows.validation & _marks(rows.present, rows)
    newest = ~known & _marks(rows.present_with_test, rows)
    chosen = np.flatnonzero(validation | newest)
    if len(chosen) > MOST_HELD:
        order = np.random.default_rng(0).permutation(len(chosen))
        chosen = np.sort(chosen[order[:MOST_HELD]])
    return HeldOut(pick(rows, chosen), newest[chosen])


def _marks(present: Bool | None, rows: TrainingRows) -> Bool:
    return main_labels(rows) if present is None else present


@dataclass(frozen=True)
class _Pool:
    """The training pairs outside the validation slice; `codes` number their distinct phrases.

    `rank` is the random order in which phrases are taken, int (phrases,).
    """

    rows: TrainingRows
    codes: Int64
    rank: Int64

    @classmethod
    def of(cls, rows: TrainingRows, seed: int) -> _Pool:
        part = rows.without_test()
        part = pick(part, np.flatnonzero(~part.validation))
        phrases, codes = np.unique(part.cleaned, return_inverse=True)
        generator = np.random.default_rng(seed)
        rank = generator.permutation(len(phrases))
        is_slice = generator.random(len(phrases)) < SLICE_SHARE
        return cls(replace(part, validation=is_slice[codes]), codes, rank)

    @property
    def phrases(self) -> int:
        return len(self.rank)

    def samples(self) -> Iterator[tuple[int, TrainingRows]]:
        """Yield the phrases and pairs of each affordable share that can carry a head.

        The smallest comes first.
        """
        labels = len(np.unique(self.rows.labels))
        for share in affordable_shares(len(self.codes), labels):
            count = round(share * self.phrases)
            sample = pick(self.rows, np.flatnonzero(self.rank[self.codes] < count))
            if count >= LEAST_FITTED and len(np.unique(sample.labels)) > 1:
                yield count, sample


def affordable_shares(pairs: int, labels: int) -> Sequence[float]:
    """Return the shares, halved until all refits together cost at most MOST_WORK."""
    shares: Sequence[float] = SHARES
    while sum(shares) * pairs * labels > MOST_WORK:
        shares = [share / 2 for share in shares]
    return shares


def pick(rows: TrainingRows, chosen: Int64) -> TrainingRows:
    """Return the pairs at these places."""

    def of(values: Any) -> Any:
        return None if values is None else values[chosen]

    return TrainingRows(
        cleaned=rows.cleaned[chosen],
        labels=rows.labels[chosen],
        weights=rows.weights[chosen],
        vectors=rows.vectors[chosen],
        validation=rows.validation[chosen],
        present=of(rows.present),
        test_weights=of(rows.test_weights),
        present_with_test=of(rows.present_with_test),
    )
