"""`perennial up`, `down`, `serve`, `keys` and `doctor`: the programs of this machine."""

from __future__ import annotations

from typing import Annotated

import typer

from cli.output import FAILED, Json, output
from cli.status import show_programs

Region = Annotated[
    str | None, typer.Option(help="The region of the client, for questions with lines.")
]


def register(app: typer.Typer) -> None:
    """Add `up`, `down`, `serve`, `keys` and `doctor`."""
    app.command(epilog="Example: PERENNIAL_PREFECT_PORT=4300 perennial up")(up)
    app.command(epilog="Example: perennial down")(down)
    app.command(epilog="Example: perennial serve")(serve)
    app.command(epilog="Example: perennial keys --region north")(keys)
    app.command(epilog="Example: perennial doctor")(doctor)


def up(json: Json = False) -> None:
    """Start all programs and wait until they are ready.

    Starts PostgreSQL, Prefect, MLflow, Evidently, the console, the service and the flow runner.
    """
    from core.settings import load_settings
    from machine.processes import up as start

    out = output()
    show_programs(out, start(load_settings(), report=out.say))


def down(json: Json = False) -> None:
    """Stop all programs that `up` started."""
    from core.settings import load_settings
    from machine.processes import down as stop

    out = output()
    ended = stop(load_settings(), report=out.say)
    text = f"{len(ended)} programs stopped" if ended else "nothing was running"
    out.result({"ended": ended}, text)


def serve(json: Json = False) -> None:
    """Run the newest bento in the foreground until Ctrl-C or SIGTERM."""
    from core.settings import load_settings
    from machine.serving import serve_newest

    raise typer.Exit(serve_newest(load_settings()))


def keys(region: Region = None, json: Json = False) -> None:
    """Create an API key and its hash.

    Give the key to the client: it is shown only once. Add the hash as a line to the file that
    PERENNIAL_API_KEYS_FILE names. With --region, the line of versions of that region answers
    the key's requests that name no region.
    """
    from bentos.keys import new_key

    key, hashed = new_key()
    line = f"{hashed} region={region}" if region else hashed
    output().result(
        {"key": key, "hash": hashed, "line": line},
        f"key for the client (shown once): {key}\nline for PERENNIAL_API_KEYS_FILE: {line}",
    )


def doctor(json: Json = False) -> None:
    """Check Python, packages, git, params.yaml, ports, disk and database.

    Exit code 1 when any check fails.
    """
    from core.settings import load_settings
    from machine.doctor import examine

    out = output()
    findings = examine(load_settings())
    rows = [
        ("ok", finding.name, finding.found, "")
        if finding.ok
        else ("WRONG", finding.name, finding.found, finding.do)
        for finding in findings
    ]
    out.table({"findings": findings}, columns=("", "what", "found", "do"), rows=rows)
    if not all(finding.ok for finding in findings):
        raise typer.Exit(FAILED)
