"""Starts a program without credentials: for the source, the remote of DVC and notices.

python -m machine.launch PROGRAM ARGUMENT...
"""

from __future__ import annotations

import os
import sys

from core.inherited_environment import is_credential


def main() -> None:
    """Become the program that the arguments name."""
    kept = {name: value for name, value in os.environ.items() if not is_credential(name)}
    os.execve(sys.argv[1], sys.argv[1:], kept)


if __name__ == "__main__":
    main()
