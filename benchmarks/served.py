"""Serves the demo's head and embedder in a home of its own, as two versions of one classifier."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx
import psutil
from sqlalchemy.engine import Engine

from benchmarks.servers import free_port
from bentos.packaging.package import ServeCommand, build_bento, serve_command
from core.contracts import Deployment, ModelVersion, Role
from core.database import connect, open_database
from core.deployments import append_deployment
from core.settings import REPOSITORY, load_settings
from pipelines.model.head_file import head_digest, load_head

NAME = "chapter"
READY_SECONDS = 180.0


@dataclass
class Served:
    """A running service, the database of its deployments, and its two versions."""

    url: str
    engine: Engine
    versions: dict[str, ModelVersion]
    process: psutil.Process

    def deploy(self, version: str, role: Role = "champion", share: float = 1.0) -> None:
        """Give a version a role."""
        entry = Deployment(self.versions[version], role, share, datetime.now(UTC), "benchmark")
        with self.engine.begin() as connection:
            append_deployment(connection, entry)

    def cpu_seconds(self) -> float:
        """User and system seconds of all its processes so far."""
        processes = [self.process, *self.process.children(recursive=True)]
        return float(sum(sum(process.cpu_times()[:2]) for process in processes))

    def metric(self, name: str) -> float:
        """One number without labels of /metrics."""
        lines = httpx.get(f"{self.url}/metrics", timeout=10).text.splitlines()
        return next(float(line.split()[1]) for line in lines if line.startswith(f"{name} "))


@contextmanager
def served(build: Path) -> Iterator[Served]:
    """Serve the head and the embedder in `build` on a free port, with a database of its own."""
    with TemporaryDirectory(prefix="roll-", ignore_cleanup_errors=True) as folder:
        home = Path(folder)
        settings = load_settings(
            home=home, database_url=None, service_port=free_port(), log_format="json"
        )

        versions = {version: _stored(home, build, version) for version in ("1", "2")}
        tag = build_bento(
            {NAME: versions["1"]},
            embedder=build / "embedder",
            staging=home / "s",
            bento_store=home / "bentoml",
            version="1",
        )

        with open_database(settings) as urls:
            engine = connect(urls.perennial)
            command = serve_command(tag, settings=settings, database_url=urls.perennial)
            process = _start(command, log=home / "log")
            try:
                seconds_until(lambda: _ready(settings.service_url), limit=READY_SECONDS)
                yield Served(settings.service_url, engine, versions, psutil.Process(process.pid))
            finally:
                process.terminate()
                process.wait(30)
                engine.dispose()


def _start(command: ServeCommand, *, log: Path) -> subprocess.Popen[bytes]:
    with log.open("wb") as output:
        return subprocess.Popen(
            command.argv,
            cwd=REPOSITORY,
            env=command.child_environment(os.environ),
            stdout=output,
            stderr=output,
            start_new_session=True,
        )


def _stored(home: Path, build: Path, version: str) -> ModelVersion:
    folder = home / "models" / NAME / version
    shutil.copytree(build / "classifiers" / NAME / "model", folder)
    embedder_id = load_head(folder).embedder_id
    return ModelVersion(NAME, version, str(folder), head_digest(folder), embedder_id)


def _ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/readyz", timeout=5).status_code == 200
    except httpx.HTTPError:
        return False


def seconds_until(condition: Callable[[], bool], *, limit: float) -> float:
    """Return the seconds until the condition holds; infinite when they exceed the limit."""
    started = time.monotonic()
    while time.monotonic() - started < limit:
        if condition():
            return time.monotonic() - started
        time.sleep(0.02)
    return float("inf")
