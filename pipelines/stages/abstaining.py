"""What answering alone promises: the rule of abstention on the test rows of the judged head."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from pipelines.model.abstention import Abstention, as_json
from pipelines.model.arrays import Bool, Float32, Int64
from pipelines.model.head_file import Head
from pipelines.model.novelty import novelty
from pipelines.stages.abstention_rule import Policy, Unseen, choose_rule
from pipelines.stages.evaluation import CHUNK_PHRASES
from pipelines.stages.intervals import share_of_rows
from pipelines.stages.vectors import read_vectors

UNUSED: dict[str, Any] = {"rule": None}
"""What the evaluation says of a classifier that always answers."""


def describe_abstention(
    head: Head, tested: pa.Table, policy: Policy
) -> tuple[Abstention | None, dict[str, Any]]:
    """Return the rule, None for one that refuses nothing, and what the evaluation says of it.

    `tested` are the answered test rows; a memory knows the phrases that were `seen`, and they are
    always answered.
    """
    if not policy:
        return None, UNUSED
    codes, phrases, right = _coded(tested)
    new = ~tested["seen"].to_numpy(zero_copy_only=False)
    new_codes, of_row = np.unique(codes[new], return_inverse=True)
    confidence, far = confidence_and_novelty(head, [phrases[code] for code in new_codes.tolist()])
    agreeing = np.bincount(of_row, right[new], minlength=len(new_codes))
    mostly = agreeing * 2 > np.bincount(of_row, minlength=len(new_codes))
    choice = choose_rule(Unseen(confidence, far, mostly), policy)

    refused = np.zeros(len(codes), bool)
    if choice.rule is not None:
        refused[new] = np.array(choice.rule.refuses(confidence, far), bool)[of_row]
    whole = _answered(right, refused, codes)
    return choice.rule, {
        "policy": {name: limit for name, limit in policy.items() if limit is not None},
        "rule": as_json(choice.rule),
        "phrases": len(new_codes),
        "provable_precision": choice.provable,
        "all": whole,
        "unseen": _answered(right[new], refused[new], codes[new]),
        "promise": _promise(whole),
    }


def _coded(tested: pa.Table) -> tuple[Int64, list[str], Bool]:
    """Return the code of each row's phrase, the phrases, and which answers are right."""
    cleaned = tested["cleaned"].combine_chunks().dictionary_encode()
    truth = np.array(tested["label"].to_pylist(), dtype=object)
    right: Bool = truth == np.array(tested["predicted"].to_pylist(), dtype=object)
    return cleaned.indices.to_numpy(), cleaned.dictionary.to_pylist(), right


def confidence_and_novelty(head: Head, phrases: Sequence[str]) -> tuple[Float32, Float32]:
    """Return the best label's probability and the novelty of each phrase, (n,) each."""
    vectors = read_vectors(list(phrases))
    confidence = np.zeros(len(phrases), np.float32)
    for start in range(0, len(phrases), CHUNK_PHRASES):
        part = slice(start, start + CHUNK_PHRASES)
        confidence[part] = head.probabilities(phrases[part], vectors[part]).max(axis=1)
    return confidence, novelty(head, vectors)


def _answered(right: Bool, refused: Bool, phrases: Int64) -> dict[str, float]:
    """Return the share of rows answered, and the share of those that is right, with its bounds."""
    answered = ~refused
    share = float(answered.mean()) if len(answered) else 1.0
    precision = share_of_rows(right[answered], phrases[answered])
    return {"rows": len(right), "answered": round(share, 5), **precision}


def _promise(whole: Mapping[str, float]) -> dict[str, float]:
    """Return what people may rely on: the share answered, and the least share of it that is right.

    The least share is the lower bound of the test rows, rounded down to tenths of a point.
    """
    least = math.floor(1000 * whole["precision_low"]) / 1000
    return {"answered": whole["answered"], "precision": least}


def abstention_metrics(report: Mapping[str, Any]) -> dict[str, float]:
    """Return the figures of a classifier that may refuse as flat metrics; none of any other."""
    if not report.get("policy"):
        return {}
    flat = {}
    for prefix, part in (("", report["all"]), ("unseen_", report["unseen"])):
        flat[f"{prefix}answered_share"] = part["answered"]
        flat[f"{prefix}answered_precision"] = part["precision"]
    return flat
