"""`POST /v1/feedback`: the right label of an answer, or of a phrase."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated, Literal

import msgspec
import uuid_utils
from msgspec import Meta, Struct

from bentos.answering.answers import PhraseRequest, cleaned_phrase
from bentos.heads.routing import route
from bentos.http.endpoint import AppState, Call
from bentos.http.lines import line_of
from bentos.http.schemas import (
    Moment,
    Phrase,
    RequestRefused,
    Short,
    checked_phrase,
    decode_request,
    invalid_field,
)
from bentos.inference_log.feedback import JournaledFeedback
from core.feedback import (
    EXAMPLE,
    KINDS,
    NONE_OF_THESE,
    feedback_problem,
    sample_probability,
)

Kind = Literal["correction", "confirmation", "sample", "double_review", "unknown", "none_of_these"]
assert Kind.__args__ == (*KINDS, NONE_OF_THESE)  # type: ignore[attr-defined]
OF_A_PHRASE = ("classifier", "phrase")
BESIDE_A_PHRASE = ("occurred_at", "region")
CLOCKS = timedelta(hours=1)
"""How far a client's clock may be ahead."""


class FeedbackRequest(Struct, forbid_unknown_fields=True):
    """The right label, of an answer (`request_id`) or of a phrase (`classifier` and `phrase`).

    The author is the name of the API key. `kind` says why somebody looked at the answer, and
    `probability` how likely a "sample" was to be drawn. `new_label` admits a label that the
    champion does not know. The kind "none_of_these" has no label, every other one needs it.
    """

    label: Annotated[str, Meta(max_length=1000)] = ""
    request_id: Annotated[str, Meta(min_length=1, max_length=200)] | None = None
    classifier: Short | None = None
    phrase: Phrase | None = None
    kind: Kind = "unknown"
    probability: Annotated[float, Meta(gt=0, le=1)] | None = None
    occurred_at: Moment | None = None
    region: Short | None = None
    new_label: bool = False


class FeedbackResponse(Struct):
    """Feedback that is journaled: checked and stored within seconds of its answer's row.

    `request_id` is that of the answer, or a new one for a label with its own phrase.
    """

    request_id: str
    author: str
    received_at: datetime


_FEEDBACK = msgspec.json.Decoder(FeedbackRequest)


async def take_feedback(state: AppState, call: Call) -> bytes:
    """Journal a label. Raises `RequestRefused`, `UnknownClassifier`."""
    request = decode_request(_FEEDBACK, call.body)
    now = datetime.now(UTC)
    row = (
        _about_an_answer(request, author=call.caller.name, now=now)
        if request.request_id is not None
        else _example(state, request, call, now=now)
    )
    if not await state.feedback.log(row):
        raise RequestRefused(
            503, "feedback_not_kept", "the journal of feedback cannot be written; retry later"
        )
    return msgspec.json.encode(FeedbackResponse(row.request_id, row.author, now))


def _about_an_answer(request: FeedbackRequest, *, author: str, now: datetime) -> JournaledFeedback:
    assert request.request_id is not None
    for name in (*OF_A_PHRASE, *BESIDE_A_PHRASE):
        if getattr(request, name) is not None:
            raise invalid_field(f"Expected no `{name}` beside `request_id`", name)
    try:
        probability = sample_probability(request.probability, request.kind)
    except ValueError as error:
        raise invalid_field(f"probability: {error}", "probability") from None
    return JournaledFeedback(
        0,
        _text(request.request_id, "request_id"),
        _label(request),
        author,
        now,
        kind=request.kind,
        probability=probability,
        new_label=request.new_label,
    )


def _label(request: FeedbackRequest) -> str:
    if request.kind != NONE_OF_THESE:
        return _text(request.label, "label")
    if request.label:
        raise invalid_field(f"Expected no label with the kind {NONE_OF_THESE}", "label")
    return ""


def _example(
    state: AppState, request: FeedbackRequest, call: Call, *, now: datetime
) -> JournaledFeedback:
    for name in OF_A_PHRASE:
        if getattr(request, name) is None:
            raise invalid_field("Expected `request_id`, or `classifier` and `phrase`", name)
    if request.kind != "unknown" or request.probability is not None:
        raise invalid_field("Expected no kind or probability: they are about answers", "kind")

    assert request.phrase is not None and request.classifier is not None
    phrase = checked_phrase(
        PhraseRequest(request.phrase, occurred_at=request.occurred_at or now, region=request.region)
    )
    classifier = line_of(state, call, request.classifier, phrase)
    rollout = route(state.heads.current, classifier)
    if phrase.occurred_at is not None and phrase.occurred_at > now + CLOCKS:
        raise invalid_field("Expected a moment that has passed", "occurred_at")

    row = JournaledFeedback(
        0,
        str(uuid_utils.uuid7()),
        _text(request.label, "label"),
        call.caller.name,
        now,
        classifier=classifier,
        kind=EXAMPLE,
        phrase=phrase.phrase,
        cleaned=cleaned_phrase(phrase),
        occurred_at=phrase.occurred_at,
        region=phrase.region,
        new_label=request.new_label,
    )

    problem = feedback_problem(row, row.classifier, {row.classifier: rollout.champion.labels})
    if problem is not None:
        raise invalid_field(str(problem), "label")
    return row


def _text(value: str, name: str) -> str:
    """Return the text trimmed, as files of feedback are read."""
    if "\0" in value or not value.strip():
        raise invalid_field("Expected text that is not empty, without NUL characters", name)
    return value.strip()
