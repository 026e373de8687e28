"""The files of Swagger UI, with which the service and the console let people try their routes.

Relies on BentoML 1.4.39, whose wheel holds them (`bentoml/_internal/server/static_content`; Swagger
UI is Apache-2.0). Reason: 1.5 MB that are installed anyway need no copy in the repository.

Remove when a package of Swagger UI alone is among the dependencies.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Literal, get_args

FileName = Literal["swagger-ui.css", "swagger-ui-bundle.js"]
FILES: tuple[FileName, ...] = get_args(FileName)


def swagger_folder() -> Path:
    """Return the folder that holds FILES; BentoML is found, not imported."""
    package = find_spec("bentoml")
    assert package is not None and package.origin is not None, "a package that is installed"
    return Path(package.origin).parent / "_internal" / "server" / "static_content"
