"""The environment variables that our dependencies read. Applied before prefect, mlflow or bentoml is imported."""

from __future__ import annotations

import atexit
import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager

from pydantic import SecretStr

from core.database import DatabaseUrls, open_database, with_driver
from core.settings import Settings
from machine.local_http import answers

TELEMETRY_OFF = {
    "DO_NOT_TRACK": "true",
    "ITERATIVE_DO_NOT_TRACK": "true",
    "DVC_NO_ANALYTICS": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "BENTOML_DO_NOT_TRACK": "True",
    "GX_ANALYTICS_ENABLED": "false",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
    "PREFECT_TELEMETRY_ENABLE_RESOURCE_METRICS": "false",
}


TAG = "perennial"  # on every flow run, deployment and automation of ours in Prefect


def telemetry_off() -> dict[str, str]:
    """Variables that keep every dependency from calling home."""
    return dict(TELEMETRY_OFF)


def flow_environment(
    settings: Settings, urls: DatabaseUrls, *, server: bool | None = None
) -> dict[str, str]:
    """Variables under which flows, and the servers of `perennial up`, run. Secrets included.

    `server` says whether the Prefect server of `perennial up` runs the flows; None asks it. Without one, Prefect
    starts an ephemeral server on the same database for as long as the flow runs.
    """
    served = prefect_answers(settings) if server is None else server
    own = {"BENTOML_HOME": str(settings.home / "bentoml"), **_past_proxies(settings)}
    return (
        telemetry_off()
        | _prefect(settings, urls)
        | _prefect_server(settings, served=served)
        | _mlflow(urls)
        | own
    )


def child_settings(settings: Settings, urls: DatabaseUrls) -> dict[str, str]:
    """Settings as `PERENNIAL_*`, with the database already running: what a child needs to reach the same place."""
    values = {name: getattr(settings, name) for name in type(settings).model_fields}
    values |= {
        "database_url": urls.perennial,
        "prefect_database_url": urls.prefect,
        "mlflow_database_url": urls.mlflow,
    }
    return {
        f"PERENNIAL_{name.upper()}": _plain(value)
        for name, value in values.items()
        if value is not None
    }


def apply_environment(environment: Mapping[str, str]) -> None:
    """Set the variables for this process and its children; a Prefect server of the shell's is not ours."""
    for name in ("PREFECT_API_URL", "PREFECT_PROFILE"):
        os.environ.pop(name, None)
    os.environ.update(environment)


@contextmanager
def open_flow_database(settings: Settings) -> Iterator[DatabaseUrls]:
    """`open_database`, with the environment of the flows applied: what a command does before it imports one.

    An ephemeral Prefect server stops at the end of the process, and writes until then; so its database is closed after it.
    """
    served = prefect_answers(settings)
    with ExitStack() as stack:
        urls = stack.enter_context(open_database(settings))
        if not served:
            atexit.register(
                stack.pop_all().close
            )  # registered before the server's own, so it runs after it
        apply_environment(flow_environment(settings, urls, server=served))
        yield urls


def prefect_answers(settings: Settings) -> bool:
    """True when a Prefect server answers at the port of the settings."""
    return answers(f"{settings.prefect_url}/api/health")


def mlflow_uri(urls: DatabaseUrls) -> str:
    """Tracking and registry URI: the database itself, so that flows need no MLflow server."""
    return with_driver(urls.mlflow, "psycopg")


def _prefect(settings: Settings, urls: DatabaseUrls) -> dict[str, str]:
    return {
        "PREFECT_HOME": str(settings.home / "prefect"),
        "PREFECT_API_DATABASE_CONNECTION_URL": with_driver(urls.prefect, "asyncpg"),
        "PREFECT_SERVER_DATABASE_TIMEOUT": "60",  # 10 s are too few while a training has the cores
        "PREFECT_SERVER_DATABASE_CONNECTION_TIMEOUT": "60",
        # A lease in memory dies with the server and leaves its slot taken for ever; one in a file ends after 5 minutes.
        "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": "prefect.server.concurrency.lease_storage.filesystem",
        "PREFECT_LOGGING_LEVEL": "INFO",
        "PREFECT_SERVER_LOGGING_LEVEL": "WARNING",
        "PREFECT_RUNNER_POLL_FREQUENCY": "3",
        "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
    }


def _prefect_server(settings: Settings, *, served: bool) -> dict[str, str]:
    if served:
        return {"PREFECT_API_URL": f"{settings.prefect_url}/api"}
    return {"PREFECT_SERVER_ALLOW_EPHEMERAL_MODE": "true"}


def _mlflow(urls: DatabaseUrls) -> dict[str, str]:
    return {
        "MLFLOW_TRACKING_URI": mlflow_uri(urls),
        "MLFLOW_REGISTRY_URI": mlflow_uri(urls),
        "MLFLOW_BACKEND_STORE_URI": mlflow_uri(
            urls
        ),  # the server's name for it; as an argument `ps` would show the password
        "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
        "MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING": "false",
        "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",  # four helper processes for features that are not used
    }


def _past_proxies(settings: Settings) -> dict[str, str]:
    """Our own servers are reached directly, whatever proxy the shell names."""
    told = os.environ.get("NO_PROXY", os.environ.get("no_proxy", ""))
    direct = ",".join(
        dict.fromkeys([*filter(None, told.split(",")), settings.host, "127.0.0.1", "localhost"])
    )
    return {"NO_PROXY": direct, "no_proxy": direct}


def _plain(value: object) -> str:
    return value.get_secret_value() if isinstance(value, SecretStr) else str(value)
