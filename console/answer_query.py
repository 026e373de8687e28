"""The fields of a search of answers, as a form or a program sends them."""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from typing import Annotated, Any, Literal
from urllib.parse import urlencode

import orjson
from fastapi import Query
from pydantic import BaseModel, ConfigDict, Field, field_validator

from core.contracts import Role
from monitoring.answers import Place, Search

PAGE = 50
LONGEST = 500
"""Answers of one page, at most."""
ROLES: tuple[Role, ...] = ("champion", "canary", "shadow", "asked")

Text = Annotated[str, Field(max_length=2000)]


class AnswerFields(BaseModel):
    """What somebody looks for; an empty field restricts nothing. Times without a zone are UTC."""

    model_config = ConfigDict(extra="ignore")

    text: Text | None = Field(None, description="words of the phrase, or parts of words")
    label: Text | None = None
    version: Text | None = None
    role: Literal["champion", "canary", "shadow", "asked"] | None = None
    region: Text | None = None
    since: datetime | None = Field(None, description="inclusive")
    until: datetime | None = Field(None, description="exclusive")
    below: float | None = Field(None, ge=0, le=1, description="an upper limit of the probability")
    unlabelled: bool = Field(False, description="only answers without a right label")
    abstained: bool = Field(False, description='only answers with "none of these"')
    request_id: Text | None = None
    limit: int = Field(PAGE, ge=1, le=LONGEST)
    before: Text | None = Field(None, description="`older` of the page before")

    @field_validator("*", mode="before")
    @classmethod
    def _filled(cls, value: Any, info: Any) -> Any:
        """Take an empty field of a form as one that was not sent."""
        text = value.strip() if isinstance(value, str) else value
        return cls.model_fields[info.field_name].default if text == "" else text

    @field_validator("since", "until")
    @classmethod
    def _zoned(cls, moment: datetime | None) -> datetime | None:
        return moment.replace(tzinfo=UTC) if moment and moment.tzinfo is None else moment

    @field_validator("before")
    @classmethod
    def _readable(cls, before: str | None) -> str | None:
        if before is not None:
            read_place(before)
        return before

    def search(self, classifier: str) -> Search:
        """Return the search of a classifier's answers."""
        before = read_place(self.before) if self.before else None
        return Search(classifier, **self.model_dump(exclude={"before"}), before=before)

    def older(self, place: Place | None) -> str | None:
        """Return the query string of the page that follows, None for the last page."""
        if place is None:
            return None
        fields = self.model_dump(mode="json", exclude_defaults=True, exclude={"before"})
        return urlencode({**fields, "before": write_place(place)})


AnswerQuery = Annotated[AnswerFields, Query()]


def write_place(place: Place) -> str:
    """Return a place as text that fits in a URL."""
    parts = [place.occurred_at.isoformat(), place.request_id, place.version]
    return base64.urlsafe_b64encode(orjson.dumps(parts)).decode()


def read_place(text: str) -> Place:
    """Return the place that `write_place` wrote. Raises `ValueError`."""
    try:
        moment, request_id, version = orjson.loads(base64.urlsafe_b64decode(text.encode()))
        place = Place(datetime.fromisoformat(moment), str(request_id), str(version))
    except (ValueError, TypeError):
        raise ValueError("expected `older` of the page before") from None
    if place.occurred_at.tzinfo is None:
        raise ValueError("expected `older` of the page before")
    return place
