"""Who runs this program."""

from __future__ import annotations

import getpass
import os


def system_user() -> str:
    """Return the login name, or the number of a user without one, as in a container."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"
