"""Retrain `organ` and end by kill -9 before or after a function.

    python -m tests.support.dying WHEN PLACE

PLACE is `module:name` or `module:Class.name`. WHEN is one of:

- "before", "after": die there. Without a PLACE nothing dies: `perennial --json retrain organ`.
- "first": run the day before, so that later runs take over its embeddings.
- "between": run half a day before all others but the first.
- "hold": wait at PLACE until the home holds a file `let-go`, while the test does something.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from importlib import import_module
from typing import Any

from cli.app import app
from core.settings import load_settings
from machine.environment import open_flow_database

NOW = datetime(2026, 1, 1, tzinfo=UTC)
MOMENTS = {"first": NOW - timedelta(days=1), "between": NOW - timedelta(hours=12)}


def die() -> None:
    os.kill(os.getpid(), 9)


def wait() -> None:
    home = load_settings().home
    (home / "held").touch()
    while not (home / "let-go").exists():
        time.sleep(0.05)


def surround(
    place: str, *, before: Callable[[], None] | None = None, after: Callable[[], None] | None = None
) -> None:
    """Wrap the function at `place`, which its callers look up by name."""
    module, _, path = place.partition(":")
    owner: Any = import_module(module)
    *outer, name = path.split(".")
    for part in outer:
        owner = getattr(owner, part)
    inner = getattr(owner, name)

    def surrounded(*args: Any, **kwargs: Any) -> Any:
        if before:
            before()
        value = inner(*args, **kwargs)
        if after:
            after()
        return value

    setattr(owner, name, surrounded)


def main(when: str, place: str = "") -> None:
    settings = load_settings()
    with open_flow_database(settings):
        from flows import retrain

        # All runs have one moment, but a champion must be older than its successor to be too old.
        comparing: Any = import_module("flows.candidates.comparing")
        comparing.trained_as_of = lambda *_, **__: NOW - timedelta(days=1)
        if place:
            surround(
                place,
                **{"before": {"before": die}, "after": {"after": die}, "hold": {"before": wait}}[
                    when
                ],
            )
        retrain.run_retrain = partial(retrain.run_retrain, now=MOMENTS.get(when, NOW))
    app(["--json", "retrain", "--verbose", "organ"])


if __name__ == "__main__":
    main(*sys.argv[1:])
