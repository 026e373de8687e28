"""The environment variables that dependencies read.

They are applied before prefect, mlflow or bentoml is imported.
"""

from __future__ import annotations

import atexit
import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from core.database import DatabaseUrls, open_database, with_driver
from core.errors import PortTaken
from core.home import require_home
from core.settings import REPOSITORY, Settings, settings_environment
from machine.local_http import PATIENCE, answers, ask

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
LEASE_STORAGE = "prefect.server.concurrency.lease_storage.filesystem"
_OWN_SERVER_SECONDS = 60.0
"""A busy server answers late, and must not be taken for that of another installation."""
TAG = "perennial"  # on every flow run, deployment and automation of this project in Prefect


def telemetry_off() -> dict[str, str]:
    """Return the variables that stop every dependency from sending telemetry."""
    return dict(TELEMETRY_OFF)


def flow_environment(
    settings: Settings, urls: DatabaseUrls, *, server: bool | None = None
) -> dict[str, str]:
    """Return the variables for the flows and for the servers of `perennial up`, with secrets.

    Parameters
    ----------
    server : whether the Prefect server of `perennial up` runs the flows; None asks it. Without a
        server Prefect starts an ephemeral one on the same database for the time of the flow.
    """
    served = prefect_answers(settings) if server is None else server
    return (
        telemetry_off()
        # The programs work in a folder of their own: the code is this repository's, paths absolute.
        | {"PYTHONPATH": str(REPOSITORY)}
        | settings_environment(settings)
        | _prefect(settings, urls)
        | _prefect_server(settings, served=served)
        | _mlflow(urls)
        | {"BENTOML_HOME": str(settings.home / "bentoml")}
        | _past_proxies(settings)
    )


def child_settings(settings: Settings, urls: DatabaseUrls) -> dict[str, str]:
    """Return the settings as `PERENNIAL_*`, with the URLs of the running database."""
    return settings_environment(
        settings,
        database_url=urls.perennial,
        prefect_database_url=urls.prefect,
        mlflow_database_url=urls.mlflow,
    )


def apply_environment(environment: Mapping[str, str]) -> None:
    """Set the variables for this process and its children, and leave the user's folder.

    Prefect reads variables, and `.env`, `prefect.toml` and `pyproject.toml` of the working folder.
    Those of the shell belong to another project.
    """
    for name in [name for name in os.environ if name.startswith("PREFECT_")]:
        del os.environ[name]
    os.environ.update(environment)
    if folder := environment.get("PREFECT_HOME"):
        Path(folder).mkdir(parents=True, exist_ok=True)
        os.chdir(folder)


@contextmanager
def open_flow_database(settings: Settings) -> Iterator[DatabaseUrls]:
    """Open the database and apply the environment of the flows, before a flow is imported.

    An ephemeral Prefect server stops at the end of the process and writes until then, so its
    database is closed after it.
    """
    require_home(settings)
    served = prefect_answers(settings)
    with ExitStack() as stack:
        urls = stack.enter_context(open_database(settings))
        if not served:
            # Registered before the handler of the server, so it runs after it.
            atexit.register(stack.pop_all().close)
        apply_environment(flow_environment(settings, urls, server=served))
        yield urls


def prefect_answers(settings: Settings) -> bool:
    """Return True when this home's Prefect server answers at the port of the settings.

    Raises `PortTaken` for the server of another installation: its runs and ours would mix.
    """
    if not answers(f"{settings.prefect_url}/api/health"):
        return False
    home = _home_of_server(settings, timeout=_OWN_SERVER_SECONDS)
    if _is_own(settings, home):
        return True
    raise PortTaken(
        f"this home's Prefect at {settings.prefect_url}",
        came=f"the server of another installation: {home or 'it does not name its home'}",
        do="set PERENNIAL_PREFECT_PORT to a free port",
    )


def own_prefect_answers(settings: Settings, *, timeout: float = PATIENCE) -> bool:
    """Return True when this home's Prefect server answers in time; False for any other server.

    For pages and requests that must not end because another installation has the port.
    """
    return _is_own(settings, _home_of_server(settings, timeout=timeout))


def _home_of_server(settings: Settings, *, timeout: float) -> str:
    """Return the PREFECT_HOME of the server at the port; "" when it names none in time."""
    answer = ask(f"{settings.prefect_url}/api/admin/settings", timeout=timeout)
    return str(answer.get("home", "")) if isinstance(answer, dict) else ""


def _is_own(settings: Settings, home: str) -> bool:
    return bool(home) and Path(home).resolve() == prefect_home(settings).resolve()


def prefect_home(settings: Settings) -> Path:
    """Return the folder of Prefect, in which its programs work."""
    return settings.home / "prefect"


def mlflow_uri(urls: DatabaseUrls) -> str:
    """Return the tracking and registry URI: the database itself, so flows need no MLflow server."""
    return with_driver(urls.mlflow, "psycopg")


def _prefect(settings: Settings, urls: DatabaseUrls) -> dict[str, str]:
    return {
        "PREFECT_HOME": str(prefect_home(settings)),
        "PREFECT_API_DATABASE_CONNECTION_URL": with_driver(urls.prefect, "asyncpg"),
        # The default of 10 s is too short while a training uses all cores.
        "PREFECT_SERVER_DATABASE_TIMEOUT": "60",
        "PREFECT_SERVER_DATABASE_CONNECTION_TIMEOUT": "60",
        # A lease in memory is lost with the server, and its slot stays taken forever. A lease in a
        # file ends after 5 minutes.
        "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": LEASE_STORAGE,
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
        # The server reads this one. As an argument, `ps` would show the password.
        "MLFLOW_BACKEND_STORE_URI": mlflow_uri(urls),
        "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
        "MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING": "false",
        "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
        # Saves four helper processes for features that are not used.
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    }


def _past_proxies(settings: Settings) -> dict[str, str]:
    """Reach the servers of this machine directly, whatever proxy the shell names."""
    from_shell = os.environ.get("NO_PROXY", os.environ.get("no_proxy", ""))
    hosts = [*filter(None, from_shell.split(",")), settings.host, "127.0.0.1", "localhost"]
    direct = ",".join(dict.fromkeys(hosts))
    return {"NO_PROXY": direct, "no_proxy": direct}
