"""The rules of a classifier: a pattern that decides the label of the phrases it matches."""

from __future__ import annotations

import re

from pydantic import Field, field_validator

from core.params.heads import StrictBlock

LONGEST_PATTERN = 300
NESTED = re.compile(r"[*+}][^()]*\)(?:[*+]|\{\d*,)")
"""A group with a repeat inside and an open-ended repeat behind: `re` backtracks exponentially."""


class RuleParams(StrictBlock):
    """Phrases in which the pattern is found get the label.

    pattern : regular expression of Python's `re`, searched in the cleaned phrase
    label : a label of the classifier
    """

    pattern: str = Field(min_length=1, max_length=LONGEST_PATTERN)
    label: str = Field(min_length=1)

    @field_validator("pattern")
    @classmethod
    def _compiles(cls, pattern: str) -> str:
        try:
            re.compile(pattern)
        except re.error as error:
            raise ValueError(f"pattern is not a regular expression: {error}") from None
        if NESTED.search(pattern):
            raise ValueError(
                "pattern repeats a group that repeats: one phrase could take hours; "
                "write it without `*`, `+` or `{n,}` behind such a group"
            )
        return pattern
