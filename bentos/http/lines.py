"""Answers questions that have one line of versions per region: the region chooses the line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import msgspec

from bentos.answering.answers import PhraseRequest, cleaned_phrase
from bentos.http.endpoint import AppState, Call
from bentos.http.schemas import field_at, invalid_field
from bentos.http.versions import requested_version


def line_of(state: AppState, call: Call, question: str, request: PhraseRequest) -> str:
    """Return the classifier that answers a phrase: a line, or the question's own classifier.

    A request without a region has that of its API key. Raises `RequestRefused`, naming the regions,
    when no line covers the region and no classifier has the name of the question.
    """
    regions = state.heads.lines.get(question)
    if regions is None:
        return question
    region = request.region or call.caller.region
    if (line := regions.get(region or "")) is not None:
        return line
    if question in state.heads.current:
        return question
    known = ", ".join(sorted(regions))
    given = "none" if region is None else repr(region)
    raise invalid_field(
        f"Expected a region that {question} has a line for: {known}; got {given}",
        field_at("region", request.place),
    )


async def answer_by_line(
    state: AppState, call: Call, requests: Sequence[PhraseRequest]
) -> list[bytes]:
    """Answer in order, each phrase by its line; nothing is logged when one phrase is refused.

    Raises what the lines raise, and `RequestRefused` for a region without a line.
    """
    places: dict[str, list[int]] = {}
    for place, request in enumerate(requests):
        cleaned_phrase(request)
        places.setdefault(line_of(state, call, call.classifier, request), []).append(place)
    models = {
        name: await requested_version(state, replace(call, classifier=name)) for name in places
    }
    answers = [b""] * len(requests)
    for name, own in places.items():
        of_line = [with_region(requests[place], call) for place in own]
        answered = await state.answers.answer(name, of_line, model=models[name])
        for place, answer in zip(own, answered, strict=True):
            answers[place] = answer
    return answers


def with_region(request: PhraseRequest, call: Call) -> PhraseRequest:
    """Return the request with the region by which its line was chosen, as the log keeps it."""
    if request.region or call.caller.region is None:
        return request
    return msgspec.structs.replace(request, region=call.caller.region)
