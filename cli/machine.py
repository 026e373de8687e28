"""up, down, status, serve, keys, doctor: the processes of this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from cli.output import FAILED, SAID_NO, Json, Output, output

if TYPE_CHECKING:
    from core.contracts import Deployment, Rollout


def register(app: typer.Typer) -> None:
    """Add `up`, `down`, `status`, `serve`, `keys` and `doctor`."""
    app.command(epilog="Example: PERENNIAL_PREFECT_PORT=4300 perennial up")(up)
    app.command(epilog="Example: perennial down")(down)
    app.command(epilog="Example: perennial status --json")(status)
    app.command(epilog="Example: perennial serve")(serve)
    app.command(epilog="Example: perennial keys")(keys)
    app.command(epilog="Example: perennial doctor")(doctor)


def up(json: Json = False) -> None:
    """Start PostgreSQL, Prefect, MLflow, Evidently, the service and the flow runner; return when all are ready."""
    from core.settings import load_settings
    from machine.processes import up as start

    out = output()
    _show(out, start(load_settings(), report=out.say), {})


def down(json: Json = False) -> None:
    """Stop all of them."""
    from core.settings import load_settings
    from machine.processes import down as stop

    out = output()
    ended = stop(load_settings(), report=out.say)
    out.result(
        {"ended": ended}, f"{len(ended)} processes ended" if ended else "nothing was running"
    )


def status(json: Json = False) -> None:
    """Say what runs, where, which version answers and what stands beside it; exit code 3 when something does not run."""
    from core.settings import load_settings
    from flows.answering import rollouts_of
    from machine.status import status as look

    settings, out = load_settings(), output()
    programs = look(settings)
    _show(out, programs, rollouts_of(settings))
    if any(program.state not in ("ready", "waiting") for program in programs):
        raise typer.Exit(SAID_NO)


def serve(json: Json = False) -> None:
    """Run the newest bento in the foreground, until Ctrl-C or SIGTERM."""
    from core.settings import load_settings
    from machine.serving import serve_newest

    raise typer.Exit(serve_newest(load_settings()))


def keys(json: Json = False) -> None:
    """Make an API key: shown once, for the client; its hash is a line for the file that PERENNIAL_API_KEYS_FILE names."""
    from bentos.keys import new_key

    key, hashed = new_key()
    output().result(
        {"key": key, "hash": hashed},
        f"key for the client (shown once): {key}\nline for the file: {hashed}",
    )


def doctor(json: Json = False) -> None:
    """Check Python, packages, git, params.yaml, ports, disk and database; exit code 1 when one is wrong."""
    from core.settings import load_settings
    from machine.doctor import examine

    out = output()
    findings = examine(load_settings())
    marks = [
        (
            "ok" if finding.ok else "WRONG",
            finding.name,
            finding.found,
            "" if finding.ok else finding.do,
        )
        for finding in findings
    ]
    out.table({"findings": findings}, columns=("", "what", "found", "do"), rows=marks)
    if not all(finding.ok for finding in findings):
        raise typer.Exit(FAILED)


def _show(out: Output, programs: list, rollouts: dict[str, Rollout]) -> None:
    """Programs, then the versions that answer, each with the canary and shadow beside it."""
    champions = {name: rollout.champion for name, rollout in rollouts.items() if rollout.champion}
    beside = {
        name: [entry for entry in (rollout.canary, rollout.shadow) if entry]
        for name, rollout in rollouts.items()
    }
    rows = [
        (row.name, row.state, row.address, row.pid or "", row.detail or row.does)
        for row in programs
    ]
    rows += [
        _playing(name, entry)
        for name, champion in champions.items()
        for entry in (champion, *beside[name])
    ]
    told = {
        "programs": programs,
        "champions": champions,
        "beside": {name: entries for name, entries in beside.items() if entries},
    }
    out.table(told, columns=("name", "state", "address", "pid", "what"), rows=rows)


def _playing(classifier: str, entry: Deployment) -> tuple[str, str, str, str, str]:
    plays = {"champion": "answers", "canary": f"canary {100 * entry.share:g} %"}.get(
        entry.role, entry.role
    )
    return (
        classifier,
        plays,
        f"version {entry.model.version}",
        "",
        f"since {entry.since:%Y-%m-%d %H:%M}",
    )
