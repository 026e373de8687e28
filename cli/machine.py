"""`perennial up`, `down`, `status`, `serve`, `keys` and `doctor`: the processes of this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from cli.output import FAILED, NEGATIVE_VERDICT, Json, Output, output

if TYPE_CHECKING:
    from core.contracts import Deployment, Rollout
    from machine.status import ProgramStatus


def register(app: typer.Typer) -> None:
    """Add `up`, `down`, `status`, `serve`, `keys` and `doctor`."""
    app.command(epilog="Example: PERENNIAL_PREFECT_PORT=4300 perennial up")(up)
    app.command(epilog="Example: perennial down")(down)
    app.command(epilog="Example: perennial status --json")(status)
    app.command(epilog="Example: perennial serve")(serve)
    app.command(epilog="Example: perennial keys")(keys)
    app.command(epilog="Example: perennial doctor")(doctor)


def up(json: Json = False) -> None:
    """Start all processes and wait until they are ready.

    Starts PostgreSQL, Prefect, MLflow, Evidently, the service and the flow runner.
    """
    from core.settings import load_settings
    from machine.processes import up as start

    out = output()
    _show(out, start(load_settings(), report=out.say), {}, {})


def down(json: Json = False) -> None:
    """Stop all processes that `up` started."""
    from core.settings import load_settings
    from machine.processes import down as stop

    out = output()
    ended = stop(load_settings(), report=out.say)
    text = f"{len(ended)} processes stopped" if ended else "nothing was running"
    out.result({"ended": ended}, text)


def status(json: Json = False) -> None:
    """Show every process with its address, and the versions that answer.

    Lists each champion with its canary and shadow, how soon a watch calls a change of a tenth of
    the traffic, and retrainings that wait or failed. Exit code 3 when a process is not running.
    """
    from core.settings import load_settings
    from flows.answering import rollouts_of
    from machine.status import status as look
    from machine.watched import powers_of, unfinished_of

    settings = load_settings()
    out = output()
    programs = look(settings)
    about = {"watched": powers_of(settings), "waiting": unfinished_of(settings)}
    _show(out, programs, rollouts_of(settings), about)
    if any(program.state not in ("ready", "waiting") for program in programs):
        raise typer.Exit(NEGATIVE_VERDICT)


def serve(json: Json = False) -> None:
    """Run the newest bento in the foreground until Ctrl-C or SIGTERM."""
    from core.settings import load_settings
    from machine.serving import serve_newest

    raise typer.Exit(serve_newest(load_settings()))


def keys(json: Json = False) -> None:
    """Create an API key and its hash.

    Give the key to the client: it is shown only once. Add the hash as a line to the file that
    PERENNIAL_API_KEYS_FILE names.
    """
    from bentos.keys import new_key

    key, hashed = new_key()
    output().result(
        {"key": key, "hash": hashed},
        f"key for the client (shown once): {key}\nline for PERENNIAL_API_KEYS_FILE: {hashed}",
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


def _show(
    out: Output,
    programs: list[ProgramStatus],
    rollouts: dict[str, Rollout],
    about: dict[str, dict[str, str]],
) -> None:
    """List the programs and every champion with its canary and shadow.

    `about` maps a state to a sentence per classifier: what a watch can see, what waits.
    """
    champions = {name: rollout.champion for name, rollout in rollouts.items() if rollout.champion}
    beside = {
        name: [entry for entry in (rollout.canary, rollout.shadow) if entry]
        for name, rollout in rollouts.items()
    }
    program_rows = [
        (row.name, row.state, row.address, row.pid or "", row.detail or row.does)
        for row in programs
    ]
    version_rows = [
        _version_row(name, entry)
        for name, champion in champions.items()
        for entry in (champion, *beside[name])
    ]
    value = {
        "programs": programs,
        "champions": champions,
        "beside": {name: entries for name, entries in beside.items() if entries},
        **about,
    }
    sentence_rows = [
        (name, state, "", "", sentence)
        for state, sentences in about.items()
        for name, sentence in sentences.items()
    ]
    columns = ("name", "state", "address", "pid", "what")
    out.table(value, columns=columns, rows=[*program_rows, *version_rows, *sentence_rows])


def _version_row(classifier: str, entry: Deployment) -> tuple[str, str, str, str, str]:
    states = {"champion": "answers", "canary": f"canary {100 * entry.share:g} %"}
    state = states.get(entry.role, entry.role)
    since = f"since {entry.since:%Y-%m-%d %H:%M}"
    return (classifier, state, f"version {entry.model.version}", "", since)
