"""The composition root: settings, database, params and registry, opened once per command."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from core.contracts import ModelVersion
from core.database import DatabaseUrls, connect, open_database, with_driver
from core.deployments import current_champions
from core.errors import Busy, SettingsError, UnknownVersion
from core.home import require_home
from core.locks import AdvisoryLock
from core.logs import configure_logs
from core.params.schema import Params, SourceParams, load_params
from core.settings import Settings
from core.source_addresses import source_variable
from core.tables.loop import decision
from monitoring.retraining import NO_VERDICT
from pipelines.registry import Registry

DEMO_MARK = ".demo"
"""A file in a home that a demo created and may clear."""


@dataclass(frozen=True)
class LoopContext:
    """What a flow needs of the place that it runs in."""

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
        """The shared source of the labelled rows: that of the settings, or the demo's."""
        url = self.settings.source_url
        return url.get_secret_value() if url else self.urls.sibling("demo")

    def address_of(self, source: SourceParams) -> str:
        """Return the URL or path of a block's source. Raises `SettingsError` when it is not set."""
        if source.path is not None:
            return str(self.settings.repository / source.path)
        if source.name is None:
            return self.source_url
        address = self.settings.sources.get(source.name)
        if address is None:
            variable = source_variable(source.name)
            raise SettingsError(
                f"the source {source.name}",
                came=f"no {variable}",
                do=f"set {variable} to a URL or a path, where `perennial up` runs too",
            )
        return address.get_secret_value()

    def known_classifiers(self, classifiers: Sequence[str]) -> list[str]:
        """Return the named classifiers, or all of params.yaml when none is named.

        The name of a question stands for its lines. Raises `UnknownClassifier`.
        """
        named = [own for name in classifiers for own in self.params.named(name)]
        return named or list(self.params.classifiers)

    def champions(self) -> dict[str, ModelVersion]:
        """Return classifier -> the version that answers."""
        with self.engine.connect() as connection:
            return {name: row.model for name, row in current_champions(connection).items()}

    def champion_version(self, classifier: str) -> str:
        """Return the number of the version that answers.

        Raises `UnknownClassifier`, or `UnknownVersion` when none answers yet.
        """
        champion = self.champions().get(classifier)
        if champion is None:
            self.params.classifier(classifier)
            raise UnknownVersion(
                f"a champion of {classifier}",
                came="none: no version was promoted",
                do=f"run `perennial retrain {classifier}`, or name one of its versions",
            )
        return champion.version

    def last_retraining(self, classifier: str) -> datetime | None:
        """Return the moment at which the newest retraining reached a verdict on its candidate."""
        newest = sa.select(sa.func.max(decision.c.decided_at)).where(
            decision.c.classifier == classifier,
            decision.c.subject == "gate",
            decision.c.kind != NO_VERDICT,
        )
        with self.engine.connect() as connection:
            moment: datetime | None = connection.scalar(newest)
        return moment


@contextmanager
def open_context(settings: Settings) -> Iterator[LoopContext]:
    """Open the database and read params.yaml; everything is closed at the end.

    Raises `SettingsError` when the home is not writable.
    """
    configure_logs(settings.log_format)
    require_home(settings)
    params = load_params(settings.repository / "params.yaml")
    with open_database(settings) as urls:
        engine = connect(urls.perennial)
        try:
            yield LoopContext(settings, urls, engine, params)
        finally:
            engine.dispose()


@dataclass(frozen=True)
class HeldClassifiers:
    """The locks of one run, and the connection that they belong to."""

    connection: Connection
    classifiers: Sequence[str]

    def require(self) -> None:
        """Raise `Busy` when the locks were lost with their connection.

        Another run may then have begun, so this one must neither register nor promote.
        """
        try:
            held = self.connection.scalar(
                _HELD, {"number": AdvisoryLock.RUN.value, "names": list(self.classifiers)}
            )
        except sa.exc.SQLAlchemyError:
            held = 0
        if held != len(set(self.classifiers)):
            raise Busy(
                f"the locks of {', '.join(self.classifiers)} to be held until the end",
                came="a lost connection: another run may have begun",
                do="see `perennial status`, then retrain",
            )


_HELD = sa.text("""
    select count(*) from pg_locks, unnest(cast(:names as text[])) as name
    where locktype = 'advisory' and granted and pid = pg_backend_pid()
      and (classid::bigint << 32) | objid::bigint = hashtextextended(name, :number)
""")


@contextmanager
def hold_classifiers(engine: Engine, classifiers: Sequence[str]) -> Iterator[HeldClassifiers]:
    """Allow one run per classifier: lock each, or raise `Busy` naming one that is taken.

    The locks belong to a database connection, so a killed run leaves none behind.
    """
    take = sa.text("select pg_try_advisory_lock(hashtextextended(:name, :number))")
    with engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
        try:
            for name in sorted(classifiers):
                if not connection.scalar(take, {"name": name, "number": AdvisoryLock.RUN.value}):
                    raise Busy(
                        f"no other run of {name}",
                        came="one in progress",
                        do="wait for it to end; see `perennial status`",
                    )
            yield HeldClassifiers(connection, classifiers)
        finally:
            with suppress(sa.exc.SQLAlchemyError):  # the connection was lost, and the locks with it
                connection.execute(sa.text("select pg_advisory_unlock_all()"))
