"""Label Studio: one JSON list of tasks, each with its predictions and annotations.

The export "JSON" of Label Studio is read; "JSON_MIN" lacks who labelled. The values of a task stand
in `data`, which Label Studio carries through, beside `text`, the phrase.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, TextIO
from xml.sax.saxutils import quoteattr

from core.errors import InvalidFeedback
from monitoring.tasks.records import Record, Refusal, loads_distinct
from monitoring.tasks.task import OF_THE_LABEL, Task, record_of

CONTROL = "label"
OBJECT = "text"


def labelling_interface(labels: Sequence[str]) -> str:
    """Return the XML of a project's labelling interface: the phrase, and one choice."""
    choices = "\n".join(f"    <Choice value={quoteattr(label)}/>" for label in labels)
    return (
        "<View>\n"
        f'  <Text name="{OBJECT}" value="$text"/>\n'
        f'  <Choices name="{CONTROL}" toName="{OBJECT}" choice="single" showInLine="true">\n'
        f"{choices}\n"
        "  </Choices>\n"
        "</View>\n"
    )


def write_label_studio(tasks: Iterable[Task], _labels: Sequence[str]) -> Iterator[str]:
    """Yield the list, task by task."""
    before = "[\n"
    for task in tasks:
        yield before + json.dumps(_document(task), ensure_ascii=False)
        before = ",\n"
    yield "[]\n" if before == "[\n" else "\n]\n"


def read_label_studio(lines: TextIO) -> Iterator[Record | Refusal]:
    """Yield a record per annotation, or per task without one; rows count the tasks.

    Raises `InvalidFeedback` when the file is not a JSON list.
    """
    try:
        documents = loads_distinct(lines.read())
    except (ValueError, RecursionError) as error:
        raise _not_a_list(f"other text: {error}") from None
    if not isinstance(documents, list):
        raise _not_a_list(f"one {type(documents).__name__}")
    for number, document in enumerate(documents, start=1):
        yield from _records(number, document)


def _document(task: Task) -> dict[str, Any]:
    record = record_of(task)
    data = {"text": record.pop("phrase"), **record}
    labelled = {name: data.pop(name) for name in OF_THE_LABEL if name in data}
    document: dict[str, Any] = {"data": data}
    if task.answer is not None:
        prediction = {"model_version": task.version or "", "result": _chosen(task.answer)}
        document["predictions"] = [{**prediction, "score": task.confidence or 0.0}]
    if task.label is not None:
        # Label Studio refuses annotations of people it does not know: the author is data.
        document["annotations"] = [{"result": _chosen(task.label)}]
        data.update({name: labelled[name] for name in labelled if name != "label"})
    return document


def _chosen(label: str) -> list[dict[str, Any]]:
    value = {"choices": [label]}
    return [{"from_name": CONTROL, "to_name": OBJECT, "type": "choices", "value": value}]


def _records(number: int, document: Any) -> Iterator[Record | Refusal]:
    data = document.get("data") if isinstance(document, dict) else None
    annotations = document.get("annotations", []) if isinstance(document, dict) else None
    if not isinstance(data, dict) or not isinstance(annotations, list):
        yield Refusal(number, "expected a task with `data` and a list of `annotations`")
        return
    values = {**data, "phrase": data.get("text")}
    values.pop("label", None)
    if not annotations:
        yield Record(number, values)
    for annotation in annotations:
        yield _annotated(number, values, annotation)


def _annotated(number: int, values: Mapping[str, Any], annotation: Any) -> Record | Refusal:
    results = annotation.get("result", []) if isinstance(annotation, dict) else None
    if not isinstance(results, list):
        return Refusal(number, "annotations: expected objects with a list of `result`")
    if annotation.get("was_cancelled"):
        return Record(number, values)
    chosen = [label for result in results for label in _choices(result)]
    if len(chosen) > 1:
        return Refusal(number, f"expected one choice, got {len(chosen)}")
    given = {
        "author": _annotator(annotation.get("completed_by")),
        "received_at": annotation.get("created_at"),
        "label": chosen[0] if chosen else None,
    }
    return Record(number, {**values, **{name: value for name, value in given.items() if value}})


def _choices(result: Any) -> list[Any]:
    if not isinstance(result, dict) or result.get("type") != "choices":
        return []
    value = result.get("value")
    choices = value.get("choices") if isinstance(value, dict) else None
    return choices if isinstance(choices, list) else [choices]


def _annotator(completed_by: Any) -> Any:
    """Return the e-mail address of an annotator, or their number in Label Studio."""
    if isinstance(completed_by, dict):
        return completed_by.get("email") or _annotator(completed_by.get("id"))
    return f"label studio user {completed_by}" if isinstance(completed_by, int) else completed_by


def _not_a_list(came: str) -> InvalidFeedback:
    return InvalidFeedback(
        "a list of tasks in JSON, as Label Studio exports it",
        came=came[:200],
        do="export the project as JSON",
    )
