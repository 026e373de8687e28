"""Words of pages that depend on a number."""

from __future__ import annotations


def counted(count: int, noun: str) -> str:
    """Return a count with its noun, such as `1 answer` or `2,000 answers`."""
    return f"{count:,} {noun if count == 1 else f'{noun}s'}"


def times(count: int) -> str:
    """Return how often, such as `once` or `2,000 times`."""
    return "once" if count == 1 else f"{count:,} times"
