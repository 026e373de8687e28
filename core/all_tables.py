"""Every table of Perennial's own database: what migrations make."""

from __future__ import annotations

import core.answer_tables
import core.console_tables
import core.drift_review_tables
import core.fix_tables
import core.label_tables
import core.phrase_tables
import core.pin_tables
import core.review_draw_tables
import core.review_tables  # noqa: F401  # their tables join the same metadata
from core.tables import metadata

__all__ = ["metadata"]
