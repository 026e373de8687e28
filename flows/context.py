"""The composition root: settings, database, params and registry, opened once a command and passed on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

import sqlalchemy as sa
from sqlalchemy.engine import Engine

from core.contracts import ModelVersion
from core.database import DatabaseUrls, connect, open_database, with_driver
from core.deployments import current_champions
from core.errors import Busy
from core.logs import configure_logs
from core.params import Params, load_params
from core.settings import Settings, require_home
from core.tables import decision
from pipelines.registry import Registry

DEMO_MARK = ".demo"
"""Lies in a home that a demo made and may clear."""


@dataclass(frozen=True)
class LoopContext:
    """Everything a flow needs from the place it runs in."""

    settings: Settings
    urls: DatabaseUrls
    engine: Engine
    params: Params

    @cached_property
    def registry(self) -> Registry:
        return Registry(
            with_driver(self.urls.mlflow, "psycopg"), self.settings.home / "mlartifacts"
        )

    @property
    def source_url(self) -> str:
        """The database that the labelled rows come from: yours, or the demo's beside our own."""
        own = self.settings.source_url
        return own.get_secret_value() if own else self.urls.sibling("demo")

    def champions(self) -> dict[str, ModelVersion]:
        """Return classifier -> the version that answers."""
        with self.engine.connect() as connection:
            return {name: row.model for name, row in current_champions(connection).items()}

    def last_retraining(self, classifier: str) -> datetime | None:
        """When the newest retraining of the classifier reached its verdict."""
        newest = sa.select(sa.func.max(decision.c.decided_at)).where(
            decision.c.classifier == classifier, decision.c.subject == "gate"
        )
        with self.engine.connect() as connection:
            return connection.scalar(newest)


@contextmanager
def open_context(settings: Settings) -> Iterator[LoopContext]:
    """Open the database and read params.yaml; everything is closed at the end. Raises `SettingsError` when the home cannot be written."""
    configure_logs(settings.log_format)
    require_home(settings)
    params = load_params(settings.repository / "params.yaml")
    with open_database(settings) as urls:
        engine = connect(urls.perennial)
        try:
            yield LoopContext(settings, urls, engine, params)
        finally:
            engine.dispose()


@contextmanager
def hold_classifiers(engine: Engine, classifiers: Sequence[str]) -> Iterator[None]:
    """One run a classifier: hold a lock for each, or raise `Busy` naming the one that is taken.

    The locks live with a database connection, so a killed run leaves none behind.
    """
    take = sa.text("select pg_try_advisory_lock(hashtextextended(:name, 5063))")
    with engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
        try:
            for name in sorted(classifiers):
                if not connection.scalar(take, {"name": name}):
                    raise Busy(
                        f"no other run of {name}",
                        came="one that is under way",
                        do="wait for it to end; see `perennial status`",
                    )
            yield
        finally:
            with suppress(sa.exc.DBAPIError):  # the connection was lost, and the locks with it
                connection.execute(sa.text("select pg_advisory_unlock_all()"))
