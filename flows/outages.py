"""Translates outages of the disk, the databases and the Prefect server into named errors."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress

from core.errors import (
    NO_ROOM,
    DatabaseUnreachable,
    DiskFull,
    FlowServerUnreachable,
    PerennialError,
    RegistryUnreachable,
)

SERVER_WORDS = ("Failed to reach API at", "ephemeral Prefect API server")


@contextmanager
def named_outages() -> Iterator[None]:
    """Raise an outage as its named error, and any other error unchanged."""
    try:
        yield
    except PerennialError:
        raise
    except Exception as error:
        named = name_outage(error)
        if named is None:
            raise
        raise named from None


def name_outage(error: BaseException) -> PerennialError | None:
    """Return the named error for an outage, None for any other error.

    Compares the names of classes, so that no dependency is imported for it.
    """
    from core.logs import first_line  # imports structlog and rich, which `--help` must not

    kinds = {f"{kind.__module__.partition('.')[0]}.{kind.__name__}" for kind in type(error).__mro__}
    message = first_line(error)
    start_it = "start it, then run again; the champion keeps answering"
    if isinstance(error, OSError) and error.errno in NO_ROOM:
        do = "free some space, then run again; the champion keeps answering"
        return DiskFull("space on the disk", came=message, do=do)
    if _is_of_registry(error, kinds):
        return RegistryUnreachable("MLflow's database to answer", came=message, do=start_it)
    if "sqlalchemy.OperationalError" in kinds:
        return DatabaseUnreachable("Perennial's database to answer", came=message, do=start_it)
    if _is_of_flow_server(error, kinds):
        do = "start it with `perennial up`, then run again; the champion keeps answering"
        return FlowServerUnreachable("the Prefect server to answer", came=message, do=do)
    return None


def _is_of_registry(error: BaseException, kinds: set[str]) -> bool:
    unavailable = getattr(error, "error_code", "") == "TEMPORARILY_UNAVAILABLE"
    return "mlflow.MlflowException" in kinds and unavailable


def _is_of_flow_server(error: BaseException, kinds: set[str]) -> bool:
    if any(words in str(error) for words in SERVER_WORDS):
        return True
    no_response = "httpx.TransportError" in kinds
    status = getattr(getattr(error, "response", None), "status_code", 0)
    server_error = "httpx.HTTPStatusError" in kinds and status >= 500
    return (no_response or server_error) and "/api/" in _requested_url(error)


def _requested_url(error: BaseException) -> str:
    """Return the URL of an httpx error, "" without one; its property raises when there is none."""
    with suppress(RuntimeError, AttributeError):
        return str(error.request.url)  # type: ignore[attr-defined]
    return ""
