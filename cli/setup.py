"""`perennial new` and `remove`: adds and removes a classifier."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.context import command_context
from cli.output import Json, Output, output

if TYPE_CHECKING:
    from core.settings import Settings
    from operations.setup.new import Setup

Name = Annotated[str, typer.Argument(help="The classifier: lower-case letters, digits and _.")]
Source = Annotated[
    str,
    typer.Argument(help="A file, a folder, a database's URL, or the name of a source that is set."),
]
Text = Annotated[str, typer.Option("--text", help="The column of the phrases.")]
Label = Annotated[str, typer.Option("--label", help="The column of the right labels.")]
Time = Annotated[
    str | None, typer.Option("--time", help="The column of times. Without it, give --age.")
]
Age = Annotated[
    float | None, typer.Option("--age", min=0, help="The age in days of rows without times.")
]
TimeFormat = Annotated[
    str | None,
    typer.Option("--time-format", help="How times are written, where that is ambiguous: %d/%m/%Y"),
]
Table = Annotated[
    str | None, typer.Option("--table", help="The table, where the source has several.")
]
Commit = Annotated[
    bool | None,
    typer.Option(
        help="Commit the change. By default, ask on a terminal, and do not commit elsewhere."
    ),
]
SHOWN_LABELS = 8


def register(app: typer.Typer) -> None:
    """Add `new` and `remove`."""
    example = "perennial new queue tickets.csv --text subject --label queue --time created"
    app.command(epilog=f"Example: {example}")(new)
    app.command(epilog="Example: perennial remove queue")(remove)


def new(
    call: typer.Context,
    name: Name,
    source: Source,
    text: Text,
    label: Label,
    time: Time = None,
    age: Age = None,
    time_format: TimeFormat = None,
    table: Table = None,
    commit: Commit = None,
    json: Json = False,
) -> None:
    """Look at labelled rows, and write the query and the block of a new classifier.

    Says how good a first model is likely to be. Nothing is overwritten.
    """
    from core.settings import load_settings
    from operations.setup.new import dated_by_age, set_up
    from operations.setup.source_columns import Wanted

    out = output()
    settings = load_settings()
    now = datetime.now(UTC)
    wanted = Wanted(text, label, time, time_format, dated=None, table=table)
    if time is None:
        wanted = dated_by_age(wanted, age_days=_age(age, out), now=now)
    with out.working("looking at the rows"):
        setup = set_up(settings, name, source, wanted, now=now)
    out.facts(setup.as_json(), _facts(setup))
    files = [setup.query, "params.yaml"]
    committed = _offer_commit(call, settings, files, f"Add the classifier {name}", commit)
    _say_next(out, setup, () if committed else files)


def remove(call: typer.Context, name: Name, commit: Commit = None, json: Json = False) -> None:
    """Remove a classifier: its block, its query, its schedules and its route.

    Its versions, answers and feedback stay, so that the block can be added again. A query that is
    not committed stays too.
    """
    from operations.setup.remove import remove as remove_classifier

    out = output()
    with command_context() as context:
        removal = remove_classifier(context, name, now=datetime.now(UTC))
        settings = context.settings
    lines = [f"removed {name} from params.yaml"]
    if removal.query:
        lines.append(f"removed {removal.query}, which no other classifier uses")
    if removal.kept:
        lines.append(f"kept: {removal.kept}, which is not committed")
    if removal.champion:
        lines.append(f"version {removal.champion} answers no more; a running service follows soon")
    lines.append("kept: versions, answers, feedback, decisions and snapshots")
    out.result(removal, lines)
    files = [path for path in (removal.query, "params.yaml") if path]
    if not _offer_commit(call, settings, files, f"Remove the classifier {name}", commit):
        out.say(f"next: {_commit_command(files, f'Remove the classifier {name}')}")
    if removal.running:
        out.say("next: perennial up  # its schedules end when the programs start again")


def _age(given: float | None, out: Output) -> float:
    """Return how old the rows are, in days; ask on a terminal."""
    if given is not None:
        return given
    if out.json or not sys.stdin.isatty():
        raise typer.BadParameter(
            "name the column of times with --time, or how old the rows are, in days, with --age",
            param_hint="--time",
        )
    question = "The rows have no column of times. How many days old are the newest"
    return float(typer.prompt(question, type=float, err=True))


def _offer_commit(
    call: typer.Context, settings: Settings, files: Sequence[str], message: str, commit: bool | None
) -> bool:
    """Commit these files alone when a person says so; return whether they were committed.

    A commit that fails is reported, and ends nothing: the files are written.
    """
    from core.errors import StageFailed

    out = output()
    if commit is None and not out.json and sys.stdin.isatty():
        commit = typer.confirm(f"Commit {' and '.join(files)}?", default=True, err=True)
    if not commit:
        return False
    try:
        _commit(settings.repository, files, message, environment={**os.environ, **(call.obj or {})})
    except StageFailed as error:
        out.error(error)
        return False
    out.say(f"committed {' and '.join(files)}")
    return True


def _commit(
    repository: Path, files: Sequence[str], message: str, *, environment: Mapping[str, str]
) -> None:
    """Commit as the user. Raises `StageFailed`."""
    from pipelines.git_repository import run_command

    for arguments in (["add", "--all"], ["commit", "--quiet", "-m", message]):
        run_command(["git", *arguments, "--", *files], repository, environment=environment)


def _commit_command(files: Sequence[str], message: str) -> str:
    return f"git add --all {' '.join(files)} && git commit -m '{message}'"


def _say_next(out: Output, setup: Setup, uncommitted: Sequence[str]) -> None:
    name = setup.classifier
    steps = [f"perennial retrain {name}"]
    if uncommitted:
        steps.insert(0, _commit_command(uncommitted, f"Add the classifier {name}"))
    if setup.variable:
        address = shlex.quote(setup.address or "<the URL>")
        steps.insert(0, f"export {setup.variable}={address}")
    for step in steps:
        out.say(f"next: {step}")


def _facts(setup: Setup) -> list[tuple[str, str]]:
    look = setup.look
    model = setup.first_model
    shortest, median, longest = look.lengths
    repeated = 1 - look.phrases / max(sum(look.labels.values()), 1)
    return [
        ("rows", f"{look.rows:,}, {sum(look.labels.values()):,} to learn from"),
        ("left out", _counted(look.left_out) or "none"),
        ("labels", f"{len(look.labels)}: {_shares(look.labels)}"),
        *([("rare labels", _counted(look.rare, most=SHOWN_LABELS))] if look.rare else []),
        (
            "phrases",
            f"{look.phrases:,} distinct, {shortest} to {longest} characters, median {median}; "
            f"{repeated:.0%} of the rows repeat one; {look.conflicting:.1%} have several labels",
        ),
        ("languages", _languages(setup.languages)),
        ("times", f"{look.first:%Y-%m-%d} to {look.last:%Y-%m-%d}; {setup.written_times}"),
        (
            "first model",
            f"about {model.weighted_f1:.2f} weighted F1 on {model.tested:,} newer rows, from "
            f"n-grams of {model.trained:,} phrases alone; always the most frequent label: "
            f"{model.majority:.2f}",
        ),
        ("drift", setup.drift),
        ("wrote", f"{setup.query} and the block {setup.classifier} in params.yaml"),
    ]


def _counted(counts: Mapping[str, int], *, most: int | None = None) -> str:
    shown = list(counts.items())[:most]
    more = f", and {len(counts) - len(shown)} more" if len(counts) > len(shown) else ""
    return ", ".join(f"{count:,} {name}" for name, count in shown) + more


def _shares(labels: Mapping[str, int]) -> str:
    total = sum(labels.values())
    shown = list(labels.items())[:SHOWN_LABELS]
    more = f", and {len(labels) - len(shown)} more" if len(labels) > len(shown) else ""
    return ", ".join(f"{label} {count / total:.0%}" for label, count in shown) + more


def _languages(shares: Mapping[str, float]) -> str:
    from operations.setup.languages import OTHERS

    unknown = [name for name in shares if name in OTHERS.values()]
    text = ", ".join(f"{name} {share:.0%}" for name, share in shares.items())
    if unknown:
        text += f"; the embedder does not know {' or '.join(unknown)}: only letters help there"
    return text
