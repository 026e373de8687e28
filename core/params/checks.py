"""The `checks` block of params.yaml: when a snapshot is too bad to train on."""

from __future__ import annotations

from pydantic import Field

from core.params.heads import StrictBlock
from core.params.types import LONGEST_DAYS, Share


class CheckParams(StrictBlock):
    """Limits of the data checks. A share is a share of the snapshot's rows.

    max_unseen_label_share : rows with a label that the previous snapshot did not have
    max_ambiguous_share : rows whose label differs from that of most rows with their phrase
    max_age_days : age of the newest row at the moment of the snapshot
    min_volume_ratio : rows, relative to those of the previous snapshot
    max_phrase_length : characters of a phrase
    max_garbage_share : rows whose phrase contains control or replacement characters
    max_unusable_share : rows without a phrase, or without a label, to learn from
    max_duplicate_id_share : rows with the id of another row
    max_duplicate_share : rows that repeat the phrase of another row
    """

    max_unseen_label_share: Share = 0.05
    max_ambiguous_share: Share = 0.30
    max_age_days: float = Field(7.0, gt=0, le=LONGEST_DAYS)
    min_volume_ratio: Share = 0.8
    max_phrase_length: int = Field(300, ge=1)
    max_garbage_share: Share = 0.01
    max_unusable_share: Share = 0.01
    max_duplicate_id_share: Share = 0.0
    max_duplicate_share: Share = 0.98
