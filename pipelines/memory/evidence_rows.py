"""One table of labels from the two places that labels come from: pure."""

from __future__ import annotations

import pandas as pd

from pipelines.memory.build import LABEL_COLUMNS


def join_labels(source: pd.DataFrame, received: pd.DataFrame) -> pd.DataFrame:
    """Return LABEL_COLUMNS and `head_label` of source rows and of what people sent.

    Parameters
    ----------
    source : id, cleaned, label, occurred_at; a row whose id somebody corrected gives way to it
    received : request_id, cleaned, label, received_at, author, head_label
    """
    corrected = set(received["request_id"])
    kept = source[~source["id"].isin(corrected)]
    rows = kept.rename(columns={"occurred_at": "received_at"}).assign(author="", head_label="")
    columns = [*LABEL_COLUMNS, "head_label"]
    parts = [part[columns] for part in (rows, received) if len(part)]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=columns)
