"""Every table of Perennial's own database: what migrations make."""

from __future__ import annotations

import core.console_tables  # its tables join the same metadata
import core.drift_review_tables  # noqa: F401
from core.tables import metadata

__all__ = ["metadata"]
