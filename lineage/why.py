"""Which words made a logged answer likely, by the version that gave it."""

from __future__ import annotations

from core.contracts import Inference
from flows.answering import open_version
from flows.context import LoopContext
from lineage.replay import logged_rows, revision_that_answered, version_that_answered
from pipelines.model.explanation import Explanation, explain


def explain_answer(context: LoopContext, request_id: str) -> tuple[Inference, Explanation]:
    """Return the answer of a request and its explanation.

    Raises `UnknownRequest`, `HeadRefused` and `EmbedderUnusable`.
    """
    answer = logged_rows(context, request_id)[0]
    model = version_that_answered(context, answer)
    revision = revision_that_answered(context, answer)
    return answer, explain(open_version(context.settings, model, revision), answer.phrase)


def explanation_rows(explanation: Explanation) -> list[tuple[str, str]]:
    """Return the explanation as named facts: each word with what it added to the lead."""
    rows = [("answer", f"{explanation.label} {explanation.probability:.3f}")]
    if explanation.known:
        rows.append(
            ("known", "the phrase itself was labelled; those labels count beside the words")
        )
    if explanation.rule:
        rows.append(("by a rule", f"{explanation.rule} is found in the phrase"))
    if explanation.head_label != explanation.label:
        rows.append(("by its words", f"{explanation.head_label}, which is explained here"))
    rows.append(("runner-up", explanation.runner_up))
    rows += [(word.word, f"{word.margin:+.2f}") for word in explanation.words]
    return [*rows, ("without any word", f"{explanation.base[0] - explanation.base[1]:+.2f}")]
