"""Build backend of an application.

Setuptools makes the editable install of `make setup`; everything else is refused.
"""

from __future__ import annotations

from typing import NoReturn

from setuptools.build_meta import (
    build_editable,
    get_requires_for_build_editable,
    prepare_metadata_for_build_editable,
)

__all__ = [
    "build_editable",
    "build_sdist",
    "build_wheel",
    "get_requires_for_build_editable",
    "prepare_metadata_for_build_editable",
]
REFUSAL = "Perennial is an application: install it from its repository with `make setup`"


def build_wheel(
    wheel_directory: str,
    config_settings: dict[str, object] | None = None,
    metadata_directory: str | None = None,
) -> NoReturn:
    """Refuse to build a wheel: DVC, BentoML and the flows need the repository around them."""
    raise SystemExit(REFUSAL)


def build_sdist(sdist_directory: str, config_settings: dict[str, object] | None = None) -> NoReturn:
    """Refuse to build a source distribution, for the same reason."""
    raise SystemExit(REFUSAL)
