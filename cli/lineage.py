"""`perennial lineage`, `reproduce` and `replay`: trace versions and answers, and repeat them."""

from __future__ import annotations

import uuid
from dataclasses import asdict
from typing import Annotated

import typer

from cli.context import command_context
from cli.output import FAILED, NEGATIVE_VERDICT, Json, Output, output

Classifier = Annotated[str, typer.Argument(help="A trained classifier.")]
Version = Annotated[
    str | None,
    typer.Argument(metavar="[VERSION]", help="A version of the classifier, promoted or not."),
]
Revision = Annotated[int | None, typer.Option(min=1, help="A revision of the classifier's memory.")]
Request = Annotated[str, typer.Argument(metavar="REQUEST_ID", help="The request_id of an answer.")]
Subject = Annotated[
    str,
    typer.Argument(
        metavar="CLASSIFIER|REQUEST_ID", help="A classifier, or the request_id of an answer."
    ),
]
AnyVersion = Annotated[
    str | None,
    typer.Argument(
        metavar="[VERSION]", help="A version of the classifier. By default, its champion."
    ),
]


def register(app: typer.Typer) -> None:
    """Add `lineage`, `reproduce` and `replay`."""
    app.command(epilog="Example: perennial lineage block 3")(lineage)
    app.command(epilog="Example: perennial reproduce block 3")(reproduce)
    app.command(epilog="Example: perennial replay 0198c1f2-6d0e-7c31-9f3e-2b1f6f0c8a55")(replay)


def lineage(subject: Subject, version: AnyVersion = None, json: Json = False) -> None:
    """Trace a version or an answer to its origin.

    Shows the query, snapshot, code, embedder, head, verdicts, deployments and feedback.
    """
    request_id = _as_uuid(subject)
    if request_id and version:
        raise typer.BadParameter(
            "leave it out: a request id already implies the version", param_hint="VERSION"
        )
    out = output()
    with command_context() as context, out.working(f"looking up {subject}"):
        from lineage.lineage import request_lineage, version_lineage
        from lineage.page import request_rows, version_rows

        if request_id:
            facts = request_lineage(context, request_id)
            rows = request_rows(facts)
        else:
            facts = version_lineage(context, subject, version)
            rows = version_rows(facts)
    out.facts(facts, rows)


def reproduce(
    classifier: Classifier, version: Version = None, revision: Revision = None, json: Json = False
) -> None:
    """Train a version again from its snapshot, in a clean clone.

    The result is identical, equivalent or different. Exit code 3 when it is different. With
    --revision, makes a revision of the memory again instead.
    """
    if (version is None) == (revision is None):
        raise typer.BadParameter("give a version or --revision", param_hint="VERSION")
    out = output()
    if version is None:
        _reproduce_revision(out, classifier, revision or 0)
        return
    with command_context() as context:
        from lineage.page import reproduction_rows
        from lineage.reproduce import reproduce as train_again

        result = train_again(context, classifier, version)
    out.facts(asdict(result), reproduction_rows(result))
    if result.verdict.kind == "different":
        raise typer.Exit(NEGATIVE_VERDICT)


def _reproduce_revision(out: Output, classifier: str, revision: int) -> None:
    with command_context() as context:
        from lineage.reproduce_memory import reproduce_revision

        verdict = reproduce_revision(context, classifier, revision)
    facts = {"classifier": classifier, "revision": revision, "verdict": verdict}
    out.facts(facts, [(f"memory of {classifier}, revision {revision}", verdict.kind)])
    if verdict.kind == "different":
        raise typer.Exit(NEGATIVE_VERDICT)


def replay(request_id: Request, json: Json = False) -> None:
    """Compute a logged answer again with the version that gave it.

    The result is identical, equivalent or different. Exit code 3 when it is different.
    """
    canonical_id = _as_uuid(request_id)
    if canonical_id is None:
        raise typer.BadParameter(
            f"expected the UUID of an answer, got {request_id[:80]!r}",
            param_hint="REQUEST_ID",
        )
    out = output()
    with command_context() as context, out.working(f"replaying {canonical_id}"):
        from lineage.page import replay_rows
        from lineage.replay import replay as compute_again

        rows = compute_again(context, canonical_id)
    facts = {"request_id": canonical_id, "rows": [asdict(row) for row in rows]}
    out.facts(facts, replay_rows(rows))

    kinds = {row.verdict.kind for row in rows}
    if "different" in kinds:
        raise typer.Exit(NEGATIVE_VERDICT)
    if "failed" in kinds:
        raise typer.Exit(FAILED)


def _as_uuid(text: str) -> str | None:
    """The canonical form of a request id; None for anything else."""
    try:
        return str(uuid.UUID(text))
    except ValueError:
        return None
