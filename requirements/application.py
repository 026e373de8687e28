"""Build backend of an application.

Setuptools makes the editable install of `make setup`; everything else is refused.

A second file of the install puts the folder of the interpreter first on the path of its programs:
`.venv/bin/dvc repro` then finds `python`, and MLflow finds `uvicorn`, in a shell that has not
activated the environment.
"""

from __future__ import annotations

import base64
import hashlib
import zipfile
from pathlib import Path
from typing import NoReturn

from setuptools import build_meta
from setuptools.build_meta import (
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

SIBLINGS = "perennial_siblings.pth"
FIND_SIBLINGS = (
    "import os, sys; here = os.path.dirname(sys.executable); "
    "path = os.environ.get('PATH', os.defpath); "
    "os.environ['PATH'] = "
    "path if path.split(os.pathsep)[0] == here else here + os.pathsep + path\n"
)


def build_editable(
    wheel_directory: str,
    config_settings: dict[str, object] | None = None,
    metadata_directory: str | None = None,
) -> str:
    """Build setuptools' editable wheel and add the file that finds siblings."""
    name = build_meta.build_editable(wheel_directory, config_settings, metadata_directory)
    _add(Path(wheel_directory) / name, SIBLINGS, FIND_SIBLINGS.encode())
    return name


def _add(wheel: Path, name: str, content: bytes) -> None:
    """Add a file to a wheel and to its record."""
    with zipfile.ZipFile(wheel) as archive:
        files = {entry: archive.read(entry) for entry in archive.namelist()}
    (record,) = (entry for entry in files if entry.endswith(".dist-info/RECORD"))
    digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
    files[record] += f"{name},sha256={digest},{len(content)}\n".encode()
    with zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED) as archive:
        for entry, text in {name: content, **files}.items():
            archive.writestr(entry, text)


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
