"""Opens the loop's database, params and registry for one command."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flows.context import LoopContext


@contextmanager
def command_context() -> Iterator[LoopContext]:
    """Open the loop of this machine's settings; everything is closed at the end."""
    from core.settings import load_settings
    from flows.context import open_context
    from machine.environment import open_flow_database

    settings = load_settings()
    with open_flow_database(settings), open_context(settings) as context:
        yield context
