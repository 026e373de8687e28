"""The files of Swagger UI, so that the interactive documentation needs no network.

Relies on BentoML 1.4.39, whose wheel holds them (`bentoml/_internal/server/static_content`; Swagger
UI is Apache-2.0). Reason: this repository vendors nothing.

Remove when a package of Swagger UI alone is among the dependencies.
"""

from __future__ import annotations

from pathlib import Path

import bentoml

FILES = ("swagger-ui.css", "swagger-ui-bundle.js")


def swagger_folder() -> Path:
    """Return the folder that holds FILES."""
    return Path(bentoml.__file__).parent / "_internal" / "server" / "static_content"
