"""A logged answer computed again: by the version that gave it, on the embedder it names."""

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
from core.settings import Settings
from core.tables import inference
from flows.answering import open_version
from flows.context import LoopContext
from pipelines.model.text import clean_phrase
from pipelines.model_store import problem_of, stored_version
from pipelines.reproduction import compare_answers


@dataclass(frozen=True)
class Replayed:
    """One logged row and the same computed now; `replayed` is None when a shadow could not be computed."""

    role: str
    version: str
    occurred_at: datetime
    phrase: str
    verdict: Verdict
    logged: Prediction
    replayed: Prediction | None


def replay(loop: LoopContext, request_id: str) -> list[Replayed]:
    """Every row of the request, the answer first. Raises `UnknownRequest`, `HeadRefused`, `EmbedderUnusable`."""
    return [_replay_row(loop, row) for row in logged_rows(loop, request_id)]


def logged_rows(loop: LoopContext, request_id: str) -> list[Inference]:
    """The answer and its shadows, from the table `inference`, or from the journal when no shipper has run yet.

    What a shipper moves between the two looks is in the table at a third.
    """
    rows = _shipped(loop, request_id) or [
        _row(row, flag="journal") for row in _journalled(loop.settings, request_id)
    ]
    rows = rows or _shipped(loop, request_id)
    if not rows:
        do = "use the request_id of an answer; a row older than the log's retention is gone"
        raise UnknownRequest(
            "the request id of a logged answer",
            came=f"{request_id}, in neither table nor journal",
            do=do,
        )
    return sorted(rows, key=lambda row: (row.role not in ANSWERING, row.occurred_at, row.version))


def _shipped(loop: LoopContext, request_id: str) -> list[Inference]:
    query = sa.select(inference).where(inference.c.request_id == request_id)
    with loop.engine.connect() as connection:
        return [_row(dict(row)) for row in connection.execute(query).mappings()]


def version_that_answered(loop: LoopContext, row: Inference) -> ModelVersion:
    """The version with its digest checked; raises `HeadRefused` when its files are gone or altered, saying how they come back."""
    with loop.engine.connect() as connection:
        known = [
            entry.model
            for entry in history(connection, row.classifier)
            if entry.model.version == row.version
        ]
    model = (
        known[-1]
        if known
        else stored_version(loop.settings.models, classifier=row.classifier, version=row.version)
    )
    if problem := problem_of(Path(model.head_location), digest=model.head_digest):
        wanted = f"version {row.version} of {row.classifier} as it was deployed, in {model.head_location}"
        raise HeadRefused(
            wanted,
            came=problem,
            do=f"restore it: `perennial reproduce {row.classifier} {row.version}`",
        )
    if model.embedder_id != row.embedder_id:
        raise HeadRefused(
            f"a head for embedder {row.embedder_id}",
            came=f"one for {model.embedder_id}",
            do="look at `perennial lineage`",
        )
    return model


def _replay_row(loop: LoopContext, row: Inference) -> Replayed:
    logged = Prediction(
        row.label, row.probability, tuple((label, share) for label, share in row.alternatives)
    )
    try:
        verdict, found = _compute(loop, row, logged)
    except PerennialError as error:
        if row.role in ANSWERING:
            raise
        verdict, found = Verdict("failed", (str(error),)), None
    return Replayed(row.role, row.version, row.occurred_at, row.phrase, verdict, logged, found)


def _compute(loop: LoopContext, row: Inference, logged: Prediction) -> tuple[Verdict, Prediction]:
    classifier = open_version(loop.settings, version_that_answered(loop, row))
    [answer] = classifier.predict([row.phrase], top=len(classifier.head.labels))
    shown = Prediction(
        answer.label, answer.probability, answer.alternatives[: len(logged.alternatives)]
    )
    if clean_phrase(row.phrase) != row.cleaned:
        reason = (
            f"the phrase was cleaned to {row.cleaned!r} then, to {clean_phrase(row.phrase)!r} now"
        )
        return Verdict("different", (reason,)), shown
    return compare_answers(
        logged, dict([(answer.label, answer.probability), *answer.alternatives])
    ), shown


def _journalled(settings: Settings, request_id: str) -> Iterator[dict[str, Any]]:
    """Rows that wait to be shipped; a segment that is gone was."""
    sought = request_id.encode()
    for segment in (segment for journal in settings.journals for segment in segments(journal)):
        try:
            lines = segment.read_bytes().splitlines()
        except FileNotFoundError:
            continue
        for line in lines:
            if sought in line and (payload := decode_line(line)) is not None:
                yield from (
                    row
                    for row in map(orjson.loads, split_rows(payload))
                    if row["request_id"] == request_id
                )


def _row(values: dict[str, Any], *, flag: str | None = None) -> Inference:
    flags: Sequence[str] = [*values["flags"], *([flag] if flag else [])]
    return TypeAdapter(Inference).validate_python({**values, "flags": tuple(flags)})
