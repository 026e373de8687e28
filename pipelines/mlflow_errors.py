"""Errors of MLflow that are expected."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from core.logs import get_logger


@contextmanager
def known_version(classifier: str, version: str) -> Iterator[None]:
    """Log a warning when MLflow does not know the version, and go on."""
    from mlflow.exceptions import MlflowException

    try:
        yield
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        get_logger().warning(
            "alias",
            state="MLflow does not know the version",
            classifier=classifier,
            version=version,
        )
