"""The programs of `perennial up`, as values."""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from pathlib import Path

from core.settings import Settings


@dataclass(frozen=True)
class Program:
    """One supervised program.

    `port` and `setting` are None for a program without a port. `health` is the path that answers
    200 when the program is ready. `needs` names the programs that must be ready before it starts.
    """

    name: str
    does: str
    argv: tuple[str, ...]
    port: int | None = None
    setting: str | None = None
    url: str | None = None
    health: str | None = None
    needs: tuple[str, ...] = ()
    ready_seconds: float = 300.0  # MLflow took 90 s while five others had the two cores
    stop_group: bool = True
    stop_signal: str = "TERM"
    credentials: bool = False

    @property
    def command(self) -> tuple[str, ...]:
        """Return how the program is started: only the runner reads the source and the remote."""
        return self.argv if self.credentials else (*_python("machine.launch"), *self.argv)


def list_programs(settings: Settings) -> tuple[Program, ...]:
    """Return all programs, in reverse of the order in which they stop.

    PostgreSQL is one of them unless a URL names another server.
    """
    own = (_postgres(),) if settings.database_url is None else ()
    return (
        *own,
        _prefect(settings),
        _mlflow(settings),
        _evidently(settings),
        _console(settings),
        _service(settings),
        _runner(),
    )


def further_services(settings: Settings) -> tuple[Program, ...]:
    """Return the services of further groups of classifiers.

    They are processes of the program `service`, each with its own port.
    """
    first = _service(settings)
    return tuple(
        replace(
            first,
            name=f"{first.name}-{group.number}",
            port=settings.service_port + group.number - 1,
            url=settings.group_url(group.number),
            does=f"predictions of {', '.join(sorted(group.names))}",
        )
        for group in settings.groups[1:]
    )


def folders(settings: Settings) -> tuple[Path, ...]:
    """Return the folders that the programs expect to exist."""
    return (
        settings.home / "prefect",
        settings.home / "mlartifacts",
        evidently_workspace(settings),
        settings.home / "bentoml",
    )


def newest_bento(settings: Settings) -> Path | None:
    """Return the folder of the bento that the service would run, None before the first one."""
    latest = settings.home / "bentoml" / "bentos" / "perennial" / "latest"
    return latest.parent / latest.read_text().strip() if latest.is_file() else None


def _python(*arguments: str) -> tuple[str, ...]:
    return (sys.executable, "-m", *arguments)


def _postgres() -> Program:
    return Program("postgres", "every row", _python("machine.postgres"))


def _prefect(settings: Settings) -> Program:
    return Program(
        "prefect",
        "flows, schedules, events",
        _python("prefect", "server", "start", *_address(settings, settings.prefect_port)),
        port=settings.prefect_port,
        setting="PERENNIAL_PREFECT_PORT",
        url=settings.prefect_url,
        health="/api/health",
    )


def _mlflow(settings: Settings) -> Program:
    artifacts = str(settings.home / "mlartifacts")
    return Program(
        "mlflow",
        "runs, versions, metrics",
        _python(
            "mlflow",
            "server",
            *_address(settings, settings.mlflow_port),
            "--workers",
            "1",
            "--default-artifact-root",
            artifacts,
            "--artifacts-destination",
            artifacts,
        ),
        port=settings.mlflow_port,
        setting="PERENNIAL_MLFLOW_PORT",
        url=settings.mlflow_url,
        health="/health",
    )


def _evidently(settings: Settings) -> Program:
    return Program(
        "evidently",
        "drift reports",
        _python(
            "evidently.cli",
            "ui",
            "--workspace",
            str(evidently_workspace(settings)),
            *_address(settings, settings.evidently_port),
        ),
        port=settings.evidently_port,
        setting="PERENNIAL_EVIDENTLY_PORT",
        url=settings.evidently_url,
        health="/api/version",
    )


def _console(settings: Settings) -> Program:
    return Program(
        "console",
        "people see, fix and decide",
        _python("cli.app", "console"),
        port=settings.console_port,
        setting="PERENNIAL_CONSOLE_PORT",
        url=settings.console_url,
        health="/livez",
    )


def _service(settings: Settings) -> Program:
    return Program(
        "service",
        "predictions",
        _python("cli.app", "serve"),
        stop_group=False,
        port=settings.service_port,
        setting="PERENNIAL_SERVICE_PORT",
        url=settings.service_url,
        health="/readyz",
    )


def _runner() -> Program:
    """Return Prefect's runner, which is stopped by INT.

    On INT it pauses its schedules and releases its flow runs; on TERM it fails to do so.
    """
    return Program(
        "runner",
        "runs the flows",
        _python("flows.deployments"),
        needs=("prefect",),
        stop_signal="INT",
        credentials=True,
    )


def _address(settings: Settings, port: int) -> tuple[str, ...]:
    return ("--host", settings.host, "--port", str(port))


def evidently_workspace(settings: Settings) -> Path:
    """Return the folder of the drift reports that Evidently shows."""
    return settings.reports / "evidently"
