"""The phrases that clients asked and nobody labelled, as a file of a snapshot.

A snapshot has the file where a classifier trains itself. Older snapshots lack it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from core.errors import StageFailed
from core.files import replacing, write_json
from pipelines.model.text import clean_learnable
from pipelines.snapshot_files import FACTS, ROWS, UNLABELLED, UNLABELLED_FACT

NOT_DRAWN = "the snapshot was drawn without unlabelled phrases"
SCHEMA = pa.schema([("classifier", pa.string()), ("cleaned", pa.string()), ("asks", pa.int64())])


@dataclass(frozen=True)
class UnlabelledPhrases:
    """Cleaned phrases and how often clients asked them, the most frequent first.

    `problem` says why there could be none; "" where they were read.
    """

    cleaned: tuple[str, ...] = ()
    asks: tuple[int, ...] = ()
    problem: str = ""

    def without(self, labelled: set[str], *, most: int | None = None) -> UnlabelledPhrases:
        """Return the first `most` of the phrases that a head can learn and that have no label."""
        pairs = [
            (phrase, asks)
            for phrase, asks in zip(self.cleaned, self.asks, strict=True)
            if phrase not in labelled and clean_learnable(phrase) == phrase
        ][:most]
        return UnlabelledPhrases(
            tuple(phrase for phrase, _ in pairs), tuple(asks for _, asks in pairs), self.problem
        )


@dataclass(frozen=True)
class Drawn:
    """What was asked of one classifier: its column of labels, and the most phrases it takes."""

    phrases: UnlabelledPhrases
    label: str
    most: int


def write_unlabelled(folder: Path, drawn: Mapping[str, Drawn]) -> None:
    """Add the file to a written snapshot: the phrases of each classifier without a label in it.

    The digest of the file, and what it holds, become a fact of the snapshot. Where nothing was
    drawn, the file of an earlier snapshot is removed.
    """
    if not drawn:
        (folder / UNLABELLED).unlink(missing_ok=True)
        return
    kept = {
        name: each.phrases.without(labelled_phrases(folder, each.label), most=each.most)
        for name, each in sorted(drawn.items())
    }
    rows = [
        {"classifier": name, "cleaned": phrase, "asks": asks}
        for name, phrases in kept.items()
        for phrase, asks in zip(phrases.cleaned, phrases.asks, strict=True)
    ]
    with replacing(folder / UNLABELLED) as part:
        pq.write_table(pa.Table.from_pylist(rows, schema=SCHEMA), part, compression="zstd")
    facts = json.loads((folder / FACTS).read_text(encoding="utf-8"))
    facts[UNLABELLED_FACT] = {
        "digest": _digest(folder / UNLABELLED),
        "classifiers": {name: _described(phrases) for name, phrases in kept.items()},
    }
    write_json(folder / FACTS, facts)


def labelled_phrases(folder: Path, label: str) -> set[str]:
    """Return the cleaned phrases of the snapshot's rows that have a value in the column."""
    rows = pq.read_table(folder / ROWS, columns=["phrase", label])
    has_label = pc.not_equal(pc.utf8_trim_whitespace(rows[label]), "")
    labelled = pc.unique(rows.filter(has_label)["phrase"]).drop_null().to_pylist()
    return {clean_learnable(phrase) for phrase in labelled}


def read_unlabelled(folder: Path, classifier: str) -> UnlabelledPhrases:
    """Read the phrases of one classifier; none with a problem where the snapshot has none.

    Raises `StageFailed` when the file is not the one that the snapshot's facts name.
    """
    facts = json.loads((folder / FACTS).read_text(encoding="utf-8")).get(UNLABELLED_FACT)
    if facts is None or classifier not in facts["classifiers"]:
        return UnlabelledPhrases(problem=NOT_DRAWN)
    _require_digest(folder / UNLABELLED, facts["digest"])
    rows = pq.read_table(folder / UNLABELLED, filters=[("classifier", "==", classifier)])
    return UnlabelledPhrases(
        tuple(rows["cleaned"].to_pylist()),
        tuple(rows["asks"].to_pylist()),
        facts["classifiers"][classifier]["problem"],
    )


def by_frequency(counts: Sequence[tuple[str, int]]) -> UnlabelledPhrases:
    """Return phrases and counts, the most frequent first, equally frequent ones by code point."""
    ordered = sorted(counts, key=lambda pair: (-pair[1], pair[0]))
    return UnlabelledPhrases(
        tuple(phrase for phrase, _ in ordered), tuple(asks for _, asks in ordered)
    )


def _described(phrases: UnlabelledPhrases) -> dict[str, Any]:
    return {
        "phrases": len(phrases.cleaned),
        "asks": sum(phrases.asks),
        "problem": phrases.problem,
    }


def _require_digest(file: Path, digest: str) -> None:
    present = _digest(file) if file.is_file() else "no file"
    if present != digest:
        raise StageFailed(
            f"{file} of digest {digest}",
            came=present,
            do="restore the snapshot with `dvc checkout data.dvc`",
        )


def _digest(file: Path) -> str:
    return "sha256:" + hashlib.sha256(file.read_bytes()).hexdigest()
