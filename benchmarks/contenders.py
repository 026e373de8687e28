"""The contenders of the serving benchmarks, this service and its peers, and how each is started."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import psutil

from benchmarks.servers import Server, answers_post, free_port, run_server, wait_for
from bentos.packaging.package import build_bento, serve_command
from core.builtin_embedder import USE
from core.contracts import Deployment, ModelVersion
from core.database import connect, open_database
from core.deployments import append_deployment
from core.settings import REPOSITORY, load_settings
from pipelines.model.embedder import LITERT, TENSORFLOW, read_embedder
from pipelines.model.embedder_building import build_embedder, convert_embedder
from pipelines.model.head_file import head_digest

HEAD = REPOSITORY / "build" / "classifiers" / "block" / "model"
EMBEDDER = REPOSITORY / "build" / "embedder"
PEERS = "benchmarks.serving_peers"
REMEMBERED = 50_000  # entries of every LRU: as many as the service keeps embeddings
PROBE = "heart failure"
QUIET = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "TF_ENABLE_ONEDNN_OPTS": "0",
}


@dataclass(frozen=True)
class Contender:
    """A way to serve the head. `path` takes one phrase, `batch_path` many (None: not measured)."""

    name: str
    path: str = "/predict"
    batch_path: str | None = None
    runtime: str = LITERT
    remembered: int = 0
    kind: str = "fastapi"
    sync: bool = True
    logged: bool = True

    def body(self, phrase: str) -> dict[str, Any]:
        return {"inputs": [phrase]} if self.kind == "mlflow" else {"phrase": phrase}

    def batch(self, phrases: Sequence[str]) -> dict[str, Any]:
        return {"inputs" if self.kind == "mlflow" else "phrases": list(phrases)}

    def line(self, phrase: str) -> str:
        return json.dumps(self.body(phrase))


PERENNIAL = Contender(
    "perennial",
    "/v1/block/predict",
    "/v1/block/predict_batch",
    remembered=REMEMBERED,
    kind="perennial",
)
NO_SYNC = replace(PERENNIAL, name="perennial, journal not synced", sync=False)
NO_LOG = replace(PERENNIAL, name="perennial, no log", logged=False)
BARE = Contender("(a) FastAPI, TensorFlow", batch_path="/predict_batch", runtime=TENSORFLOW)
BARE_LITERT = Contender("(a') FastAPI, LiteRT", batch_path="/predict_batch")
CACHED = Contender("(b) FastAPI, LiteRT, LRU", batch_path="/predict_batch", remembered=REMEMBERED)
CACHED_TF = replace(CACHED, name="(b') FastAPI, TensorFlow, LRU", runtime=TENSORFLOW)
DEPENDS = Contender("(c) BentoML, depends", kind="bentoml")
MLFLOW = Contender("(d) mlflow models serve", "/invocations", "/invocations", kind="mlflow")
MLFLOW_CACHED = replace(MLFLOW, name="(d) mlflow models serve, LRU", remembered=REMEMBERED)
CONSTANT = Contender("(e) Starlette, a constant", kind="constant")


@dataclass(frozen=True)
class Workshop:
    """A scratch folder with both forms of the embedder and MLflow's model."""

    folder: Path

    def embedder(self, runtime: str) -> Path:
        return EMBEDDER if read_embedder(EMBEDDER)["runtime"] == runtime else self.folder / runtime

    def prepare(self, contenders: Sequence[Contender]) -> None:
        """Build what the contenders need and the demo's `build/` lacks."""
        needed = {row.runtime for row in contenders if row.kind != "constant"}
        missing = needed - {read_embedder(EMBEDDER)["runtime"]}
        if missing:
            build_embedder(USE, self.folder / TENSORFLOW)
        if LITERT in missing:
            convert_embedder(self.folder / TENSORFLOW, self.folder / LITERT)
        if any(row.kind == "mlflow" for row in contenders):
            from mlflow.pyfunc import save_model

            save_model(
                self.folder / "mlflow",
                python_model=str(REPOSITORY / "benchmarks" / "serving_peers" / "mlflow_model.py"),
            )

    def start(self, contender: Contender) -> AbstractContextManager[Server]:
        """Start a new server and wait until it is ready."""
        if contender.kind == "perennial":
            return run_perennial(
                self.folder, {"block": HEAD}, sync=contender.sync, logged=contender.logged
            )
        port = free_port()
        return run_server(
            self._command(contender, port),
            port=port,
            environment=self._environment(contender),
            log=self.folder / f"{contender.kind}.log",
            ready=answers_post(contender.path, contender.body(PROBE)),
        )

    def _environment(self, contender: Contender) -> dict[str, str]:
        return {
            **QUIET,
            "BENTOML_HOME": str(self.folder / "bentoml"),
            "BENTOML_DO_NOT_TRACK": "True",
            "BENCH_EMBEDDER": str(self.embedder(contender.runtime)),
            "BENCH_RUNTIME": contender.runtime,
            "BENCH_HEAD": str(HEAD),
            "BENCH_LRU": str(contender.remembered),
            "MLFLOW_DISABLE_TELEMETRY": "true",
            # MLflow starts `uvicorn` by name.
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
        }

    def _command(self, contender: Contender, port: int) -> list[str]:
        python = [sys.executable, "-m"]
        address = ["--host", "127.0.0.1", "--port", str(port)]
        if contender.kind == "mlflow":
            model = str(self.folder / "mlflow")
            serve = ["mlflow", "models", "serve", "-m", model, "--env-manager", "local"]
        elif contender.kind == "bentoml":
            serve = ["bentoml", "serve", f"{PEERS}.bentoml_services:Classifier"]
        else:
            module = f"{PEERS}.{contender.kind}_app:app"
            serve = ["uvicorn", module, "--no-access-log", "--log-level", "warning"]
        return [*python, *serve, *address]


@contextmanager
def run_perennial(
    folder: Path, heads: Mapping[str, Path], *, sync: bool = True, logged: bool = True
) -> Iterator[Server]:
    """Serve a bento with `heads` as champions, in a home and a PostgreSQL of its own.

    Unless `logged`, the same service runs from this repository with a journal that keeps nothing:
    no row is made, written or shipped.
    """
    with tempfile.TemporaryDirectory(prefix="pb-") as short:
        home = Path(short)
        settings = load_settings(
            home=home, database_url=None, service_port=free_port(), log_format="json"
        )
        versions = _versions(heads)
        tag = build_bento(
            versions,
            embedder=EMBEDDER,
            staging=home / "staging",
            bento_store=home / "bentoml",
            version="1",
        )
        with open_database(settings) as urls:
            make_champions(urls.perennial, versions)
            command = serve_command(tag, settings=settings, database_url=urls.perennial)
            target = tag if logged else f"{PEERS}.unlogged:Classifier"
            with run_server(
                [target if word == tag else word for word in command.argv],
                port=settings.service_port,
                environment={
                    **command.environment,
                    "PERENNIAL_JOURNAL_SYNC": str(sync).lower(),
                    "PERENNIAL_EMBEDDER": str(EMBEDDER),
                },
                log=folder / "perennial.log",
                ready=_is_ready,
            ) as server:
                yield replace(server, settle=lambda: _shipped(server), beside=(_postmaster(home),))


def _versions(heads: Mapping[str, Path]) -> dict[str, ModelVersion]:
    embedder_id = str(read_embedder(EMBEDDER)["embedder_id"])
    return {
        name: ModelVersion(name, "1", str(folder), head_digest(folder), embedder_id)
        for name, folder in heads.items()
    }


def make_champions(url: str, versions: Mapping[str, ModelVersion]) -> None:
    """Make every version the champion of its classifier."""
    engine = connect(url)
    with engine.begin() as connection:
        for model in versions.values():
            entry = Deployment(model, "champion", 1.0, datetime.now(UTC), "benchmark")
            append_deployment(connection, entry)
    engine.dispose()


def metric(server: Server, name: str) -> float:
    """Sum of a metric of the service over its labels."""
    lines = server.get("/metrics").splitlines()
    samples = [line for line in lines if line.startswith((f"{name}{{", f"{name} "))]
    return sum(float(line.rsplit(" ", 1)[1]) for line in samples)


def _is_ready(url: str) -> bool:
    return httpx.get(f"{url}/readyz", timeout=30).status_code == 200


def _shipped(server: Server) -> None:
    wait_for(
        lambda: metric(server, "perennial_journal_waiting") == 0,
        seconds=300,
        what="the journal shipped",
    )


def _postmaster(home: Path) -> psutil.Process:
    lines = (home / "postgres" / "postmaster.pid").read_text(encoding="utf-8").splitlines()
    return psutil.Process(int(lines[0]))
