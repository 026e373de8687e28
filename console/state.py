"""What every page needs: the loop of this place, the clock, and the database."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

from fastapi import Depends, Request
from sqlalchemy.engine import Connection

from core.deployments import current_champions
from core.errors import UnknownClassifier
from core.settings import Settings
from flows.context import LoopContext


@dataclass(frozen=True)
class ConsoleState:
    """The loop that the console shows; `clock` returns now, timezone-aware."""

    context: LoopContext
    clock: Callable[[], datetime]

    @property
    def settings(self) -> Settings:
        return self.context.settings

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Open a connection for one page."""
        with self.context.engine.connect() as connection:
            yield connection

    @contextmanager
    def changing(self) -> Iterator[Connection]:
        """Open a transaction: it commits at the end, unless the body raises."""
        with self.context.engine.begin() as connection:
            yield connection

    def classifiers(self) -> list[str]:
        """Return the classifiers of params.yaml, then those that answer without a block."""
        with self.reading() as connection:
            answering = current_champions(connection)
        return list(dict.fromkeys([*self.context.params.classifiers, *answering]))


def _state(request: Request) -> ConsoleState:
    state: ConsoleState = request.app.state.console
    return state


State = Annotated[ConsoleState, Depends(_state)]


def _classifier(request: Request, classifier: str, state: State) -> str:
    request.state.classifiers = known = state.classifiers()
    if classifier not in known:
        raise UnknownClassifier(
            "the name of a classifier", came=repr(classifier), do=f"use one of {', '.join(known)}"
        )
    return classifier


Classifier = Annotated[str, Depends(_classifier)]
"""The path parameter `classifier`; an unknown one is answered with 404. The page names the others.
"""
