"""lineage, reproduce, replay: where a version or an answer came from, and whether it comes out again."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from cli.output import FAILED, SAID_NO, Json, output

if TYPE_CHECKING:
    from flows.context import LoopContext

Classifier = Annotated[str, typer.Argument(help="A classifier that has been trained.")]
Version = Annotated[str, typer.Argument(help="A version of it, promoted or not.")]
Request = Annotated[str, typer.Argument(metavar="REQUEST_ID", help="The request_id of an answer.")]
Subject = Annotated[
    str,
    typer.Argument(
        metavar="CLASSIFIER|REQUEST_ID", help="A classifier, or the request_id of an answer."
    ),
]
AnyVersion = Annotated[
    str | None,
    typer.Argument(metavar="[VERSION]", help="With a classifier; its champion by default."),
]


def register(app: typer.Typer) -> None:
    """Add `lineage`, `reproduce` and `replay`."""
    app.command(epilog="Example: perennial lineage block 3")(lineage)
    app.command(epilog="Example: perennial reproduce block 3")(reproduce)
    app.command(epilog="Example: perennial replay 0198c1f2-6d0e-7c31-9f3e-2b1f6f0c8a55")(replay)


def lineage(subject: Subject, version: AnyVersion = None, json: Json = False) -> None:
    """Where a version or an answer came from: query, snapshot, code, embedder, head, verdicts, deployments, feedback."""
    request = _as_uuid(subject)
    if request and version:
        raise typer.BadParameter("a request id already says the version", param_hint="VERSION")
    out = output()
    with _loop() as loop, out.working(f"looking up {subject}"):
        from operations.lineage.lineage import request_lineage, version_lineage
        from operations.lineage.page import request_rows, version_rows

        facts = (
            request_lineage(loop, request) if request else version_lineage(loop, subject, version)
        )
    out.facts(facts, request_rows(facts) if request else version_rows(facts))


def reproduce(classifier: Classifier, version: Version, json: Json = False) -> None:
    """Train a version again from its snapshot in a clean clone: identical, equivalent or different; exit code 3 when different."""
    out = output()
    with _loop() as loop:
        from operations.lineage.page import reproduction_rows
        from operations.lineage.reproduce import reproduce as train_again

        result = train_again(loop, classifier, version)
    out.facts(asdict(result), reproduction_rows(result))
    if result.verdict.kind == "different":
        raise typer.Exit(SAID_NO)


def replay(request_id: Request, json: Json = False) -> None:
    """Compute a logged answer again with the version that gave it: identical, equivalent or different; exit code 3 when different."""
    known = _as_uuid(request_id)
    if known is None:
        raise typer.BadParameter(
            f"a UUID is wanted, as answers carry it; came {request_id[:80]!r}",
            param_hint="REQUEST_ID",
        )
    out = output()
    with _loop() as loop, out.working(f"replaying {known}"):
        from operations.lineage.page import replay_rows
        from operations.lineage.replay import replay as compute_again

        rows = compute_again(loop, known)
    out.facts({"request_id": known, "rows": [asdict(row) for row in rows]}, replay_rows(rows))
    kinds = {row.verdict.kind for row in rows}
    if kinds & {"different", "failed"}:
        raise typer.Exit(SAID_NO if "different" in kinds else FAILED)


def _as_uuid(text: str) -> str | None:
    """The canonical form of a request id; None for anything else."""
    try:
        return str(uuid.UUID(text))
    except ValueError:
        return None


@contextmanager
def _loop() -> Iterator[LoopContext]:
    from core.settings import load_settings
    from flows.context import open_context
    from machine.environment import open_flow_database

    settings = load_settings()
    with open_flow_database(settings), open_context(settings) as loop:
        yield loop
