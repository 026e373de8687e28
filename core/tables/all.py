"""Every table of Perennial's own database: what migrations make."""

from __future__ import annotations

from core.tables.loop import metadata

__all__ = ["metadata"]
