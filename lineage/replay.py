"""Computes a logged answer again, with the version and the embedder that gave it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import orjson
import sqlalchemy as sa
from pydantic import TypeAdapter

from bentos.inference_log.journal import decode_line, segments, split_rows
from core.contracts import ANSWERING, Inference, ModelVersion, Prediction, Verdict
from core.deployments import history
from core.errors import HeadRefused, PerennialError, UnknownRequest
from core.memory_revisions import MemoryRevision, find_revision
from core.pins import Pin, apply_pin, find_pin
from core.settings import Settings
from core.tables.loop import inference
from flows.answering import open_version
from flows.context import LoopContext
from pipelines.model.text import clean_phrase
from pipelines.model_store import problem_of, stored_version
from pipelines.reproduction import compare_answers


@dataclass(frozen=True)
class Replayed:
    """A logged row and the same answer computed now.

    `replayed` is None when the answer of a shadow could not be computed. Both are the version's
    own; `pin` is what the client got instead.
    """

    role: str
    version: str
    occurred_at: datetime
    phrase: str
    verdict: Verdict
    logged: Prediction
    replayed: Prediction | None
    revision: int | None = None
    pin: Pin | None = None


def replay(context: LoopContext, request_id: str) -> list[Replayed]:
    """Compute every row of the request again, the answer first.

    Raises `UnknownRequest`, `HeadRefused` and `EmbedderUnusable`.
    """
    return [_replay_row(context, row) for row in logged_rows(context, request_id)]


def logged_rows(context: LoopContext, request_id: str) -> list[Inference]:
    """The answer and its shadows, from the table `inference` or, when not shipped yet, the journal.

    The table is read again after the journal, for rows that the shipper moved in between. Raises
    `UnknownRequest`.
    """
    rows = (
        _shipped(context, request_id)
        or _journaled(context.settings, request_id)
        or _shipped(context, request_id)
    )
    if not rows:
        raise UnknownRequest(
            "the request id of a logged answer",
            came=f"{request_id}, which is in neither table nor journal",
            do="use the request_id of an answer; rows older than the log's retention are gone",
        )
    return sorted(rows, key=lambda row: (row.role not in ANSWERING, row.occurred_at, row.version))


def _shipped(context: LoopContext, request_id: str) -> list[Inference]:
    query = sa.select(inference).where(inference.c.request_id == request_id)
    with context.engine.connect() as connection:
        return [_row(dict(row)) for row in connection.execute(query).mappings()]


def version_that_answered(context: LoopContext, row: Inference) -> ModelVersion:
    """The version of the row, with its digest checked.

    Raises `HeadRefused` when its files are gone or altered; the error says how to restore them.
    """
    model = deployed_version(context, row)
    if problem := problem_of(Path(model.head_location), digest=model.head_digest):
        version = f"version {row.version} of {row.classifier}"
        raise HeadRefused(
            f"{version} as it was deployed, in {model.head_location}",
            came=problem,
            do=f"restore it: `perennial reproduce {row.classifier} {row.version}`",
        )
    if model.embedder_id != row.embedder_id:
        raise HeadRefused(
            f"a head for embedder {row.embedder_id}",
            came=f"one for {model.embedder_id}",
            do=f"see `perennial lineage {row.classifier} {row.version}`",
        )
    return model


def revision_that_answered(context: LoopContext, row: Inference) -> MemoryRevision | None:
    """The revision of the memory that the row names; None for an answer without one.

    Raises `HeadRefused` when the table does not have it.
    """
    if row.revision is None:
        return None
    with context.engine.connect() as connection:
        revision = find_revision(connection, row.classifier, row.revision)
    if revision is None:
        raise HeadRefused(
            f"revision {row.revision} of the memory of {row.classifier}",
            came="no such row in memory_revision",
            do="restore the database from a backup",
        )
    return revision


def pin_that_answered(context: LoopContext, row: Inference) -> Pin | None:
    """The pin that the row names; None for an answer of the version itself."""
    if row.pin is None:
        return None
    with context.engine.connect() as connection:
        return find_pin(connection, row.pin)


def deployed_version(context: LoopContext, row: Inference) -> ModelVersion:
    """The version as it was last deployed, or from the model store when it never was."""
    with context.engine.connect() as connection:
        entries = history(connection, row.classifier)
    deployed = [entry.model for entry in entries if entry.model.version == row.version]
    if deployed:
        return deployed[-1]
    return stored_version(context.settings.models, classifier=row.classifier, version=row.version)


def _replay_row(context: LoopContext, row: Inference) -> Replayed:
    alternatives = tuple((label, share) for label, share in row.alternatives)
    logged = Prediction(row.label, row.probability, alternatives, abstained=bool(row.abstained))
    replayed: Prediction | None = None
    pin = pin_that_answered(context, row)
    try:
        verdict, replayed = _compute(context, row, logged)
        verdict = _with_pin(verdict, row, pin, replayed)
    except PerennialError as error:
        if row.role in ANSWERING:
            raise
        verdict = Verdict("failed", (str(error),))
    return Replayed(
        row.role,
        row.version,
        row.occurred_at,
        row.phrase,
        verdict,
        logged,
        replayed,
        revision=row.revision,
        pin=pin,
    )


def _with_pin(verdict: Verdict, row: Inference, pin: Pin | None, replayed: Prediction) -> Verdict:
    """Return "different" when the logged pin would not answer now as it did."""
    problem = _pin_problem(row, pin, replayed)
    if problem is None:
        return verdict
    reasons = verdict.reasons if verdict.kind == "different" else ()
    return Verdict("different", (*reasons, problem), verdict.evidence)


def _pin_problem(row: Inference, pin: Pin | None, replayed: Prediction) -> str | None:
    if row.pin is None:
        return None
    if pin is None or (pin.cleaned, pin.label) != (row.cleaned, row.pinned_label):
        return f"pin {row.pin} to {row.pinned_label} was logged, the table has another or none"
    if apply_pin(replayed, pin) is replayed:
        return f"pin {row.pin} answered, and the version now says the same"
    return None


def _compute(
    context: LoopContext, row: Inference, logged: Prediction
) -> tuple[Verdict, Prediction]:
    model = version_that_answered(context, row)
    classifier = open_version(context.settings, model, revision_that_answered(context, row))
    labels = classifier.memory.labels if classifier.memory else classifier.head.labels
    [answer] = classifier.predict([row.phrase], top=len(labels))
    shown = Prediction(
        answer.label,
        answer.probability,
        answer.alternatives[: len(logged.alternatives)],
        abstained=answer.abstained,
    )

    cleaned = clean_phrase(row.phrase)
    if cleaned != row.cleaned:
        reason = f"the phrase was cleaned to {row.cleaned!r} then, to {cleaned!r} now"
        return Verdict("different", (reason,)), shown
    if logged.abstained and not answer.abstained:
        # The other way round may be a pin, which settles what the version refuses.
        return Verdict("different", ("the phrase was refused then, and is answered now",)), shown

    shares = dict([(answer.label, answer.probability), *answer.alternatives])
    return compare_answers(logged, shares), shown


def _journaled(settings: Settings, request_id: str) -> list[Inference]:
    """Rows that wait to be shipped."""
    return [
        _row(row, flag="journal")
        for journal in settings.journals
        for segment in segments(journal)
        for row in _rows_of_segment(segment, request_id)
    ]


def _rows_of_segment(segment: Path, request_id: str) -> Iterator[dict[str, Any]]:
    try:
        lines = segment.read_bytes().splitlines()
    except FileNotFoundError:  # shipped since it was listed
        return
    for line in lines:
        if request_id.encode() not in line:
            continue
        payload = decode_line(line)
        if payload is not None:
            rows = map(orjson.loads, split_rows(payload))
            yield from (row for row in rows if row["request_id"] == request_id)


def _row(values: dict[str, Any], *, flag: str | None = None) -> Inference:
    flags: Sequence[str] = [*values["flags"], *([flag] if flag else [])]
    return TypeAdapter(Inference).validate_python({**values, "flags": tuple(flags)})
