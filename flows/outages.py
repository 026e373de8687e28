"""What our dependencies raise when something of the machine is away, as named errors of one message."""

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
    """Let an outage out as its named error, and anything else as it is."""
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
    """Return the named error for an outage; None when it is none. Tells by the names of classes: nothing is imported for it."""
    kinds = {f"{kind.__module__.partition('.')[0]}.{kind.__name__}" for kind in type(error).__mro__}
    came = _first_line(error)
    if isinstance(error, OSError) and error.errno in NO_ROOM:
        return DiskFull(
            "room on the disk", came=came, do="make room, then run again; the champion serves on"
        )
    if (
        "mlflow.MlflowException" in kinds
        and getattr(error, "error_code", "") == "TEMPORARILY_UNAVAILABLE"
    ):
        return RegistryUnreachable(
            "MLflow's database to answer",
            came=came,
            do="start it, then run again; the champion serves on",
        )
    if "sqlalchemy.OperationalError" in kinds:
        return DatabaseUnreachable(
            "Perennial's database to answer",
            came=came,
            do="start it, then run again; the champion serves on",
        )
    if _is_of_flow_server(error, kinds):
        do = "start it by `perennial up`, then run again; the champion serves on"
        return FlowServerUnreachable("the Prefect server to answer", came=came, do=do)
    return None


def _is_of_flow_server(error: BaseException, kinds: set[str]) -> bool:
    if any(words in str(error) for words in SERVER_WORDS):
        return True
    silent = "httpx.TransportError" in kinds
    broken = (
        "httpx.HTTPStatusError" in kinds
        and getattr(getattr(error, "response", None), "status_code", 0) >= 500
    )
    return (silent or broken) and "/api/" in _asked(error)


def _asked(error: BaseException) -> str:
    """The address that an httpx error speaks of; its property raises when there is none."""
    with suppress(RuntimeError, AttributeError):
        return str(error.request.url)  # type: ignore[attr-defined]
    return ""


def _first_line(error: BaseException) -> str:
    from core.logs import redact

    lines = redact(str(getattr(error, "orig", None) or error)).strip().splitlines()
    return lines[0] if lines else type(error).__name__
