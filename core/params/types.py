"""The types that several blocks of params.yaml share."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field, StringConstraints

from core.params.file import COLUMN, CRON, NAME, possible_day

Name = Annotated[str, StringConstraints(pattern=NAME)]
Column = Annotated[str, StringConstraints(pattern=COLUMN)]
Share = Annotated[float, Field(ge=0, le=1)]
Cron = Annotated[str, StringConstraints(pattern=CRON), AfterValidator(possible_day)]
LONGEST_DAYS = 365_000
"""A thousand years. Dates overflow beyond some hundred thousand days more."""
