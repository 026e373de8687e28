"""`perennial lines`: the lines of versions of a question, one per region."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from cli.output import Json, output

if TYPE_CHECKING:
    from core.params.schema import Params

Question = Annotated[str, typer.Argument(help="A block of params.yaml with `by` and `lines`.")]
Write = Annotated[
    bool, typer.Option("--write", help="Replace the block in params.yaml by one block per line.")
]


def register(app: typer.Typer) -> None:
    """Add `lines`."""
    app.command(epilog="Example: perennial lines chapter --write")(lines)


def lines(question: Question, write: Write = False, json: Json = False) -> None:
    """Show which classifier and version answer a question in each region.

    With --write, params.yaml gets one block per line: for `dvc repro` by hand, and for lines with
    settings of their own.
    """
    from core.files import replacing
    from core.params.edits import read_params, write_lines
    from core.settings import load_settings
    from flows.answering import rollouts_of

    settings = load_settings()
    path = settings.repository / "params.yaml"
    text = path.read_text(encoding="utf-8")
    regions = _regions(read_params(text), question)
    if write:
        with replacing(path) as part:
            part.write_text(write_lines(text, question), encoding="utf-8")
    champions = {name: rollout.champion for name, rollout in rollouts_of(settings).items()}
    rows = [
        (region, name, champion.model.version if (champion := champions.get(name)) else "")
        for region, name in regions.items()
    ]
    columns = ("region", "classifier", "version")
    content = {
        "question": question,
        "lines": [dict(zip(columns, row, strict=True)) for row in rows],
    }
    output().table(content, columns=columns, rows=rows)


def _regions(params: Params, question: str) -> dict[str, str]:
    """Return region -> classifier. Raises `ParamsError` for a block without lines."""
    from core.errors import ParamsError

    named = {name: params.classifier(name).line for name in params.named(question)}
    regions = {line.value: name for name, line in named.items() if line and line.of == question}
    if not regions:
        raise ParamsError(
            f"lines of {question}",
            came="a block that answers every region",
            do="give it `by: region` and `lines: [...]`; see docs/modelling.md",
        )
    return regions
