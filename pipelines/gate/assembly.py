"""From rows of recent traffic and the answers of both versions to what the gate judges: pure."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from datetime import datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.gate.drifted import DriftRows, UnlearntDrift
from pipelines.gate.rows import GateRows
from pipelines.gate.rules import new_rule_rows
from pipelines.gate.traffic import post_stratify

FREQUENT_ROWS = 20
"""From so many recent rows on, a phrase is frequent."""

AnswerRows = Callable[[pa.Table], np.ndarray]
"""Rows to their answers, str (n,)."""


@dataclass(frozen=True)
class ChampionAnswers:
    """What the champion says, and what is known of it.

    Attributes
    ----------
    judged : its judged head beside the memory of the training rows
    around_drift : rows since the drift began, to what clients get with it and with the candidate;
        None without a drift
    drift : the newest one since its fit; None without one
    labels : what the champion can answer
    fitted_at, days : when it was fitted, and its age in days
    proved : the last version with a proved gain; None where that is the champion
    same_head : the candidate's served head is the champion's, byte for byte
    """

    judged: AnswerRows
    labels: Collection[str]
    fitted_at: datetime | None
    days: float
    drift: UnlearntDrift | None = None
    around_drift: Callable[[pa.Table], tuple[np.ndarray, np.ndarray]] | None = None
    proved: AnswerRows | None = None
    same_head: bool = False


def assemble_rows(
    recent: pa.Table,
    labels: pa.Table,
    *,
    truth: np.ndarray,
    candidate: np.ndarray,
    floor: str,
    selected: Collection[str] = (),
    champion: ChampionAnswers | None,
) -> GateRows:
    """Return the test rows with everything that the gate asks of them.

    Parameters
    ----------
    recent, labels : split/recent.parquet and split/labels.parquet
    truth, candidate : str (n,), of the test rows in the order of `recent`
    floor : the most frequent label of the training rows
    selected : ids of the feedback that was given because an answer was wrong
    champion : None before the first promotion, when every row judges
    """
    tested = np.array(recent["part"].to_pylist()) == "test"
    rows = recent.filter(pa.array(tested))
    fresh = ~recent["seen_before"].to_numpy(zero_copy_only=False)
    codes = _codes(recent)
    strata = post_stratify(codes, fresh, tested)
    frequency = np.bincount(codes)[codes][tested]
    gate_rows = GateRows(
        truth=truth,
        phrases=codes[tested],
        candidate=candidate,
        champion=None,
        floor=floor,
        weights=strata.weights[tested],
        judges=np.ones(len(rows), dtype=bool),
        slices=_slices(rows, fresh[tested], frequency),
        uncovered=strata.uncovered,
    )
    if champion is None:
        return gate_rows
    return _beside(gate_rows, champion, recent, labels, rows, selected)


def _beside(
    gate_rows: GateRows,
    champion: ChampionAnswers,
    recent: pa.Table,
    labels: pa.Table,
    rows: pa.Table,
    selected: Collection[str],
) -> GateRows:
    return replace(
        gate_rows,
        champion=champion.judged(rows),
        judges=_judging(rows, selected),
        drift=_drift_rows(recent, selected, champion),
        new_rules=_new_rules(labels, rows, champion.fitted_at),
        champion_labels=frozenset(champion.labels),
        champion_days=champion.days,
        proved=champion.proved(rows) if champion.proved else None,
        same_head=champion.same_head,
    )


def _new_rules(labels: pa.Table, rows: pa.Table, fitted_at: datetime | None) -> np.ndarray | None:
    return None if fitted_at is None else new_rule_rows(labels, rows, fitted_at)


def _drift_rows(
    recent: pa.Table, selected: Collection[str], champion: ChampionAnswers
) -> DriftRows | None:
    if champion.drift is None or champion.around_drift is None:
        return None
    rows = recent.filter(pa.array(_since(recent, champion.drift.began)))
    rows = rows.filter(pa.array(_judging(rows, selected)))
    before, after = champion.around_drift(rows)
    codes = _codes(rows)
    tested = np.array(rows["part"].to_pylist()) == "test"
    counted = np.bincount(codes)[codes] > 1
    truth = np.array(rows["label"].to_pylist(), dtype=str)
    return DriftRows(
        truth, codes, before, after, tested | counted, unanswered=champion.drift.unanswered
    )


def _judging(rows: pa.Table, selected: Collection[str]) -> np.ndarray:
    """bool (n,): rows of the source and unselected feedback."""
    return np.array([name not in selected for name in rows["id"].to_pylist()], dtype=bool)


def _since(rows: pa.Table, began: datetime) -> np.ndarray:
    moment = pa.scalar(began, rows["occurred_at"].type)
    return np.asarray(pc.greater_equal(rows["occurred_at"], moment).to_numpy())


def _slices(rows: pa.Table, fresh: np.ndarray, frequency: np.ndarray) -> dict[str, np.ndarray]:
    regions = np.array([region or "" for region in rows["region"].to_pylist()], dtype=str)
    by_region = {f"region {name}": regions == name for name in np.unique(regions) if name}
    return by_region | {
        "new phrases": fresh,
        "known phrases": ~fresh,
        "frequent phrases": frequency >= FREQUENT_ROWS,
        "rare phrases": frequency < FREQUENT_ROWS,
    }


def _codes(rows: pa.Table) -> np.ndarray:
    encoded = rows["cleaned"].combine_chunks().dictionary_encode()
    return np.asarray(encoded.indices.to_numpy())
