"""`POST /v1/{classifier}/explain`: why a phrase gets its answer."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from bentos.answering.answers import PhraseRequest
from bentos.answering.encoding import Probability
from bentos.answering.explaining import Explained
from bentos.http.endpoint import AppState, Call
from bentos.http.lines import line_of
from bentos.http.schemas import Phrase, Short, checked_phrase, decode_request
from bentos.http.versions import requested_version
from pipelines.model.explanation import answer_steps


class ExplainRequest(Struct, forbid_unknown_fields=True):
    """`key` and `region` route as in a predict. The request is not logged."""

    phrase: Phrase
    key: Short | None = None
    region: Short | None = None


class ExplainedWord(Struct):
    """What a word of the cleaned phrase added to two logits: of the head's label, and the next."""

    word: str
    label: float
    runner_up: float


class TrainingPhrase(Struct):
    """A phrase that the version was trained on; `similarity` is about the cosine to it."""

    phrase: str
    label: str
    similarity: Annotated[float, Meta(ge=-1, le=1)]


class Step(Struct):
    """What one part makes of the phrase: head, rule, labels of the phrase itself, a person's pin.

    `rule` is the pattern of a rule, "" for other parts.
    """

    by: Literal["head", "rule", "memory", "pin"]
    label: str
    probability: Probability
    rule: str = ""


class ExplanationResponse(Struct):
    """Why a predict gives `label`: the last of `steps`; `abstained` as a predict says it.

    The words explain the first step, the head's, against `runner_up`. With `base`, the logits of
    both without any word, their numbers sum to the logits of both. `nearest` is null for a version
    that keeps no training phrases.
    """

    classifier: str
    version: str
    revision: int | None
    role: str
    phrase: str
    label: str
    probability: Probability
    steps: list[Step]
    runner_up: str
    words: list[ExplainedWord]
    base: tuple[float, float]
    nearest: list[TrainingPhrase] | None
    abstained: bool = False


_EXPLAIN = msgspec.json.Decoder(ExplainRequest)


async def explain(state: AppState, call: Call) -> bytes:
    """Explain what a predict would answer. Raises what a predict raises."""
    request = decode_request(_EXPLAIN, call.body)
    phrase_request = checked_phrase(
        PhraseRequest(request.phrase, "phrase", request.key, region=request.region)
    )
    call = replace(call, classifier=line_of(state, call, call.classifier, phrase_request))
    model = await requested_version(state, call)
    return msgspec.json.encode(
        _response(await state.explainer.explain(call.classifier, phrase_request, model=model))
    )


def _response(explained: Explained) -> ExplanationResponse:
    explanation = explained.explanation
    model = explained.live.model
    pinned_label = None if explained.pin is None else explained.pin.label
    steps = [
        Step(step.by, step.label, step.probability, step.rule)
        for step in answer_steps(explanation, pinned_label=pinned_label)
    ]
    nearest = explanation.neighbours
    return ExplanationResponse(
        classifier=model.classifier,
        version=model.version,
        revision=explained.revision,
        role=explained.live.role,
        phrase=explanation.cleaned,
        label=steps[-1].label,
        probability=steps[-1].probability,
        steps=steps,
        runner_up=explanation.runner_up,
        words=[
            ExplainedWord(word.word, round(word.answer, 4), round(word.runner_up, 4))
            for word in explanation.words
        ],
        base=explanation.base,
        nearest=None
        if nearest is None
        else [TrainingPhrase(near.phrase, near.label, near.similarity) for near in nearest],
        abstained=explanation.abstained and explained.pin is None,
    )
