"""The `tune` block of a classifier in params.yaml: when its head's settings are searched anew."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from core.params.heads import StrictBlock


class TuneParams(StrictBlock):
    """When a retraining looks for better settings of the head, and how long it may."""

    when: Literal["never", "if_stale", "always"]
    """`if_stale`: `pipelines/tuning/records.py` has the rule."""

    seconds: int = Field(300, ge=1, le=86_400)
    """Budget of one search. A trial that runs at its end is finished."""


def _block_of_word(given: Any) -> Any:
    """`if_stale` is short for `{when: if_stale}`."""
    return {"when": given} if isinstance(given, str) else given


Tune = Annotated[TuneParams, BeforeValidator(_block_of_word)]
NEVER = TuneParams(when="never")
