"""Imbalanced sets: the built classifier, a file of phrases cut to a long tail, a generated one."""

from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pipelines.model.arrays import Float32, Float64, Strings
from pipelines.model.training import TrainingRows
from pipelines.stages.split import VALIDATION_SHARE, chosen_phrases

if TYPE_CHECKING:
    from pipelines.model.memory import Memory

RATIO = 100
"""Rows of the most frequent label over those of the rarest, as in Cui et al. (2019)."""
LEAST_ROWS = 5
WORDS_OF_LABEL = 8
WORDS_OF_PHRASE = 3
OWN_WORD = 0.55
"""Chance that a word of a generated phrase is one of its label's."""
DIMENSIONS = 64


@dataclass(frozen=True)
class ImbalancedSet:
    """Training pairs and test rows.

    `weights`, (n,), are how many rows of the traffic each test row stands for: the labels then
    have the shares that they have in training. `unseen`, bool (n,), marks phrases never trained on.
    """

    name: str
    training: TrainingRows
    phrases: list[str]
    labels: Strings
    vectors: Float32
    weights: Float64
    unseen: np.ndarray
    memory: Memory | None = None


def built_set(key: str) -> ImbalancedSet:
    """Return the split of a classifier under build/, with the memory of its training rows."""
    from pipelines.stages.evaluation import tested_rows
    from pipelines.stages.files import classifier_folder, read_rows
    from pipelines.stages.memories import training_memory
    from pipelines.stages.train import training_rows
    from pipelines.stages.vectors import read_vectors

    tested = tested_rows(key)
    phrases = tested["cleaned"].to_pylist()
    labels = read_rows(classifier_folder(key) / "split" / "labels.parquet")
    return ImbalancedSet(
        key,
        training_rows(key).without_test(),
        phrases,
        np.array(tested["label"].to_pylist(), dtype=str),
        read_vectors(phrases),
        np.ones(len(phrases)),
        ~tested["seen"].to_numpy(zero_copy_only=False),
        training_memory(labels, classifier=key),
    )


def file_set(path: Path, *, embed: Callable[[list[str]], Float32], seed: int) -> ImbalancedSet:
    """Return a CSV of columns part, phrase and label, its training part cut to a long tail."""
    from pipelines.model.text import clean_phrase

    with path.open(encoding="utf-8", newline="") as file:
        lines = list(csv.DictReader(file))
    pairs = {
        part: sorted({
            (clean_phrase(line["phrase"]), line["label"]) for line in lines if line["part"] == part
        })
        for part in ("train", "test")
    }  # fmt: skip
    train = _long_tail(pairs["train"], seed=seed)
    return _as_set(path.stem, train, pairs["test"], embed=embed)


def _long_tail(pairs: list[tuple[str, str]], *, seed: int) -> list[tuple[str, str]]:
    """Keep fewer and fewer phrases of the rarer labels, the most frequent one RATIO times more."""
    names, counts = np.unique([label for _, label in pairs], return_counts=True)
    ranked = names[np.argsort(-counts, kind="stable")].tolist()
    steps = np.linspace(0, 1, len(ranked))
    wanted = {
        label: max(LEAST_ROWS, round(counts.max() * RATIO**-step))
        for label, step in zip(ranked, steps, strict=True)
    }
    random = np.random.default_rng(seed)
    kept = []
    for place in random.permutation(len(pairs)):
        phrase, label = pairs[place]
        if wanted[label]:
            wanted[label] -= 1
            kept.append((phrase, label))
    return sorted(kept)


def generated_set(*, labels: int, most_rows: int, seed: int) -> ImbalancedSet:
    """Return phrases of words that labels share: nobody can tell them all apart."""
    random = np.random.default_rng(seed)
    vocabulary = [f"word{number}" for number in range(labels * WORDS_OF_LABEL // 2)]
    own = {
        f"label{number:02d}": random.choice(len(vocabulary), WORDS_OF_LABEL, replace=False)
        for number in range(labels)
    }
    sizes = most_rows * RATIO ** -np.linspace(0, 1, labels)
    vectors = random.normal(size=(len(vocabulary), DIMENSIONS)).astype(np.float32)
    number_of = {word: number for number, word in enumerate(vocabulary)}

    def phrase_of(label: str) -> str:
        owned = random.choice(own[label], WORDS_OF_PHRASE)
        others = random.integers(len(vocabulary), size=WORDS_OF_PHRASE)
        chosen = np.where(random.random(WORDS_OF_PHRASE) < OWN_WORD, owned, others)
        return " ".join(vocabulary[number] for number in chosen)

    def embed(phrases: list[str]) -> Float32:
        sums = np.stack([
            vectors[[number_of[word] for word in phrase.split()]].sum(axis=0) for phrase in phrases
        ])  # fmt: skip
        scaled: Float32 = sums / np.maximum(np.linalg.norm(sums, axis=1, keepdims=True), 1e-9)
        return scaled

    train = [
        (phrase_of(label), label)
        for label, size in zip(own, sizes, strict=True)
        for _ in range(max(LEAST_ROWS, round(size)))
    ]
    test = [(phrase_of(label), label) for label in own for _ in range(50)]
    return _as_set("generated", sorted(set(train)), test, embed=embed)


def _as_set(
    name: str,
    train: list[tuple[str, str]],
    test: list[tuple[str, str]],
    *,
    embed: Callable[[list[str]], Float32],
) -> ImbalancedSet:
    cleaned = [phrase for phrase, _ in train]
    labels = np.array([label for _, label in train])
    training = TrainingRows(
        np.array(cleaned, dtype=object),
        labels,
        np.ones(len(train)),
        embed(cleaned),
        chosen_phrases(cleaned, share=VALIDATION_SHARE, salt="validation-7"),
    )
    test = [(phrase, label) for phrase, label in test if label in set(labels.tolist())]
    phrases = [phrase for phrase, _ in test]
    truth = np.array([label for _, label in test])
    names, codes, counts = np.unique(truth, return_inverse=True, return_counts=True)
    shares = np.array([(labels == label).mean() for label in names])
    weights = (shares / (counts / len(truth)))[codes]
    known = set(cleaned)
    unseen = np.array([phrase not in known for phrase in phrases])
    return ImbalancedSet(name, training, phrases, truth, embed(phrases), weights, unseen)
