"""One table of labels from the two places that labels come from: pure."""

from __future__ import annotations

import pandas as pd

from core.feedback import NONE_OF_THESE
from pipelines.memory.build import CORRECTION, LABEL_COLUMNS
from pipelines.memory.mixed_labels import expected_corrections


def join_labels(source: pd.DataFrame, received: pd.DataFrame) -> pd.DataFrame:
    """Return LABEL_COLUMNS and `head_label` of source rows and of what people sent.

    Parameters
    ----------
    source : id, cleaned, label, occurred_at; a row whose id somebody corrected gives way to it
    received : request_id, cleaned, label, received_at, author, kind, head_label

    A correction to a label that its phrase keeps coming back to is no evidence of its own: it
    counts as the row of the source, once the source has it (see `expected_corrections`). A row of
    which the newest decision says that no label fits is no evidence, nor are its earlier labels.
    """
    decided = set(received["request_id"])
    received = _without_taken_labels(received)
    rows = _as_labels(source[~source["id"].isin(decided)])
    habitual = _habitual_corrections(rows, received)
    counted = received[~habitual]
    again = _as_labels(_corrected_rows(source, received[habitual]))
    columns = [*LABEL_COLUMNS, "head_label"]
    parts = [part[columns] for part in (rows, again, counted) if len(part)]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=columns)


def _without_taken_labels(received: pd.DataFrame) -> pd.DataFrame:
    """Return the labels of the rows that have one by the newest decision."""
    newest = received.drop_duplicates("request_id", keep="last")
    taken = set(newest.loc[newest["kind"] == NONE_OF_THESE, "request_id"])
    is_none = received["kind"] == NONE_OF_THESE
    return received[~is_none & ~received["request_id"].isin(taken)]


def _as_labels(source: pd.DataFrame) -> pd.DataFrame:
    renamed = source.rename(columns={"occurred_at": "received_at"})
    return renamed.assign(author="", kind="", head_label="")


def _habitual_corrections(rows: pd.DataFrame, received: pd.DataFrame) -> pd.Series:
    """bool (n,) over `received`."""
    habitual = pd.Series(False, received.index, dtype=bool)
    phrases = set(received.loc[received["kind"] == CORRECTION, "cleaned"])
    if not phrases:
        return habitual
    columns = ["cleaned", "label", "received_at", "kind", "place"]
    placed = [rows.assign(place=-1), received.assign(place=range(len(received)))]
    parts = [part[columns] for part in placed if len(part)]
    labels = pd.concat(parts)
    labels = labels[labels["cleaned"].isin(phrases)].sort_values("received_at", kind="stable")
    for _, own in labels.groupby("cleaned"):
        corrections = (own["kind"] == CORRECTION).tolist()
        expected = expected_corrections(own["label"].tolist(), corrections)
        habitual.iloc[own.loc[expected, "place"]] = True
    return habitual


def _corrected_rows(source: pd.DataFrame, corrections: pd.DataFrame) -> pd.DataFrame:
    """Return the source's rows that were corrected, with the newest label of each."""
    newest = corrections.drop_duplicates("request_id", keep="last").set_index("request_id")["label"]
    rows = source[source["id"].isin(newest.index)]
    return rows.assign(label=rows["id"].map(newest))
