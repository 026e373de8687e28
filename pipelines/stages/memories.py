"""What a memory adds to the answers of a build: of its training rows, and of all rows but one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.memory.build import build_memory
from pipelines.memory.evidence import Evidence, weigh_without
from pipelines.model.arrays import Float64, Int64, Strings
from pipelines.model.head_file import Head
from pipelines.model.memory import Memory
from pipelines.stages.evaluation import CHUNK_PHRASES
from pipelines.stages.vectors import read_vectors

if TYPE_CHECKING:
    from pipelines.model.embedder import Embed


def training_memory(labels: pa.Table, *, classifier: str) -> Memory:
    """Return the memory that the rows outside the test part make.

    Parameters
    ----------
    labels : split/labels.parquet, in order of time
    """
    return labels_memory(labels.filter(pc.invert(labels["test"])), classifier=classifier)


def labels_memory(labels: pa.Table, *, classifier: str) -> Memory:
    """Return the memory that all the rows make, each counted once."""
    rows = labels.select(["cleaned", "label"]).to_pandas()
    rows = rows.assign(received_at=labels["occurred_at"].to_pandas(), author="", kind="")
    return build_memory(rows, classifier=classifier, revision=0, as_of=rows["received_at"].max())


@dataclass(frozen=True)
class OwnLeftOut:
    """The evidence about a row's phrase that all rows but itself give, and `labels`, its columns.

    `labels` are the distinct labels that the phrase ever had.
    """

    evidence: Evidence
    labels: Strings


def leave_own_out(labels: pa.Table, ids: Sequence[str]) -> list[OwnLeftOut | None]:
    """Return what a memory without the row itself knows, one per id.

    None where the memory lacks the phrase: the row is the only one of its phrase, or not in
    `labels`, split/labels.parquet. A memory that contains the row would make the reference more
    certain than live traffic is.
    """
    row_of = {row_id: row for row, row_id in enumerate(labels["id"].to_pylist())}
    rows = np.array([row_of.get(row_id, -1) for row_id in ids], np.int64)
    phrases = labels["cleaned"].combine_chunks().dictionary_encode().indices.to_numpy()
    names = labels["label"].combine_chunks().dictionary_encode()
    order = np.argsort(phrases, kind="stable")
    bounds = np.searchsorted(phrases[order], np.arange(phrases.max(initial=-1) + 2))

    is_wanted = np.zeros(labels.num_rows, bool)
    is_wanted[rows[rows >= 0]] = True
    left_out: dict[int, OwnLeftOut | None] = {-1: None}
    label_names = np.array(names.dictionary.to_pylist(), dtype=object)
    for phrase in np.unique(phrases[rows[rows >= 0]]).tolist():
        members = order[bounds[phrase] : bounds[phrase + 1]]
        wanted = np.flatnonzero(is_wanted[members])
        codes = names.indices.to_numpy()[members]
        weighed = _of_phrase(codes, wanted, label_names)
        left_out |= dict(zip(members[wanted].tolist(), weighed, strict=True))
    return [left_out[row] for row in rows.tolist()]


def _of_phrase(codes: Int64, wanted: Int64, names: Strings) -> list[OwnLeftOut | None]:
    if len(codes) == 1:
        return [None]
    own, numbers = np.unique(codes, return_inverse=True)
    weighed = weigh_without(numbers.tolist(), labels=len(own), places=wanted.tolist())
    return [OwnLeftOut(evidence, names[own]) for evidence in weighed]


def answers_without_own(
    head: Head, rows: pa.Table, labels: pa.Table, *, embed: Embed = read_vectors
) -> tuple[Strings, Float64]:
    """Return label and probability, (n,) each, of rows: head and memory.

    The memory lacks the row itself; it can answer labels that the head lacks. `labels` is
    split/labels.parquet.
    """
    cleaned = rows["cleaned"].combine_chunks().dictionary_encode()
    phrases = cleaned.dictionary.to_pylist()
    vectors = embed(phrases)
    known = leave_own_out(labels, rows["id"].to_pylist())
    lacking = sorted(set(labels["label"].to_pylist()) - set(head.labels))
    names = np.array([*head.labels, *lacking], dtype=object)
    column_of = {label: column for column, label in enumerate(names.tolist())}

    codes = cleaned.indices.to_numpy()
    order = np.argsort(codes, kind="stable")
    best = np.zeros(len(codes), int)
    probability = np.zeros(len(codes))
    for start in range(0, len(phrases), CHUNK_PHRASES):
        part = slice(start, start + CHUNK_PHRASES)
        shares = head.probabilities(phrases[part], vectors[part]).astype(float)
        shares = np.pad(shares, ((0, 0), (0, len(lacking))))
        bounds = np.searchsorted(codes[order], [start, start + len(shares)])
        for row in order[bounds[0] : bounds[1]].tolist():
            mixed = _mix(shares[codes[row] - start], column_of, known[row])
            best[row] = mixed.argmax()
            probability[row] = mixed[best[row]]
    return names[best], probability


def _mix(shares: Float64, column_of: dict[str, int], known: OwnLeftOut | None) -> Float64:
    if known is None:
        return shares
    mixed: Float64 = known.evidence.head_share * shares
    mixed[[column_of[label] for label in known.labels]] += known.evidence.weights
    return mixed
