"""`perennial explain`: which words made an answer likely."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from cli.output import Json, Output, output

if TYPE_CHECKING:
    from pipelines.model.explanation import Explanation, Step

BAR = 20
"""Characters of the longest bar."""


def register(app: typer.Typer) -> None:
    """Add `explain`."""
    app.command(epilog="Example: perennial explain block 'fx of left wrist'")(explain)


def explain(
    classifier: Annotated[str, typer.Argument(help="A classifier that has a champion.")],
    phrase: Annotated[
        str | None, typer.Argument(help="The phrase to explain. Leave it out with --request.")
    ] = None,
    request: Annotated[
        str | None,
        typer.Option(help="The request_id of a logged answer, explained as it was given."),
    ] = None,
    region: Annotated[
        str | None,
        typer.Option(help="The region whose line answers, where a question has several."),
    ] = None,
    json: Json = False,
) -> None:
    """Show what each word of a phrase added to the answer and to its runner-up.

    The answer is the champion's, or a logged one. The shares are in logits: an answer that leads by
    2.3 is ten times as likely as its runner-up. The nearest training phrases follow.
    """
    if (phrase is None) == (request is None):
        raise typer.BadParameter("give a phrase or --request", param_hint="PHRASE")
    if request is None:
        _explain_phrase(output(), classifier, phrase or "", region)
    else:
        _explain_request(output(), classifier, request)


def _explain_phrase(out: Output, question: str, phrase: str, region: str | None) -> None:
    from core.settings import load_settings
    from flows.answering import answering_classifier, open_champion
    from pipelines.model.explanation import answer_steps
    from pipelines.model.explanation import explain as explain_phrase
    from pipelines.model.training_phrases import load_training_phrases
    from pipelines.phrase_files import checked_phrases

    settings = load_settings()
    classifier = answering_classifier(settings, question, region)
    [checked] = checked_phrases([phrase])
    with out.working(f"loading the champion of {classifier}"):
        champion = open_champion(settings, classifier)
    phrases = load_training_phrases(settings.models / classifier / champion.version)
    explanation = explain_phrase(champion.classifier, checked, phrases=phrases)
    pin = champion.pin_of(checked)
    steps = answer_steps(explanation, pinned_label=pin.label if pin else None)
    facts = {
        "classifier": classifier,
        "version": champion.version,
        "explanation": explanation,
        "pin": pin,
    }
    _show(out, {**facts, "steps": steps}, champion.version, explanation, steps)


def _explain_request(out: Output, classifier: str, request: str) -> None:
    from cli.context import command_context
    from core.errors import UnknownRequest
    from lineage.why import explain_answer

    with command_context() as context, out.working(f"explaining {request[:80]}"):
        reasons = explain_answer(context, request)
    answer = reasons.answer
    if answer.classifier != classifier:
        raise UnknownRequest(
            f"the request id of an answer of {classifier}",
            came=f"one of {answer.classifier}",
            do=f"run `perennial explain {answer.classifier} --request {request[:80]}`",
        )
    facts = {
        "version": answer.version,
        "explanation": reasons.explanation,
        "request_id": answer.request_id,
    }
    steps = reasons.steps
    _show(out, {**facts, "steps": steps}, answer.version, reasons.explanation, steps)


def _show(
    out: Output,
    facts: dict[str, object],
    version: str,
    explanation: Explanation,
    steps: Sequence[Step],
) -> None:
    lines = [*_answer(version, steps), *_words(explanation), *_nearest(explanation)]
    out.result(facts, lines)


def _answer(version: str, steps: Sequence[Step]) -> Iterator[str]:
    last = steps[-1]
    yield f"{last.label} with probability {last.probability:.3f}, version {version}"
    if len(steps) > 1:
        yield from (step.sentence for step in steps)


def _words(explanation: Explanation) -> Iterator[str]:
    yield f"Lead of {explanation.head_label} over {explanation.runner_up}, by word:"
    longest = max((abs(word.margin) for word in explanation.words), default=0.0) or 1.0
    width = max(len(word.word) for word in explanation.words)
    for word in explanation.words:
        bar = ("+" if word.margin > 0 else "-") * round(BAR * abs(word.margin) / longest)
        yield f"  {word.word:<{width}}  {word.margin:+7.2f}  {bar}"
    base = explanation.base[0] - explanation.base[1]
    yield f"  {'(no word)':<{width}}  {base:+7.2f}"


def _nearest(explanation: Explanation) -> Iterator[str]:
    if explanation.neighbours is None:
        yield "The version keeps no training phrases: it was made by an earlier release."
        return
    yield "Nearest training phrases:"
    for near in explanation.neighbours:
        yield f"  {near.phrase}: {near.label}, cosine {near.similarity:.2f}"
