"""What the serving tests share: a tiny LiteRT embedder, heads made of numpy, real service processes."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import tempfile
import time
import zlib
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import msgspec
import numpy as np
import orjson

from bentos.answering.answers import AnswerService, PhraseRequest, answer_cache
from bentos.embedder.contract import Embedded, EmbedderStats
from bentos.heads.live_heads import LiveHeads
from bentos.heads.retained import Retained
from bentos.http.endpoint import AppState
from bentos.http.schemas import PredictionResponse
from bentos.inference_log.journal import Journal, JournalCounts, decode_line, segments, split_rows
from bentos.keys import Keys
from bentos.packaging.package import ServeCommand
from core.contracts import Deployment, Inference, ModelVersion, Rollout
from core.errors import EmbedderUnavailable
from pipelines.model.digests import write_digest
from pipelines.model.embedder_building import use_resource
from pipelines.model.head_file import Head, save_head
from pipelines.model.litert import convert_saved_model

EMBEDDER_ID = "tiny-1"
DIMENSIONS = 512
LABELS = ("heart", "lung")


def make_head(
    version: str, *, labels: Sequence[str] = LABELS, embedder_id: str = EMBEDDER_ID
) -> Head:
    """A logistic head whose weights depend on the version only."""
    random = np.random.default_rng(int(version))
    shape = (DIMENSIONS, len(labels))
    centroids = random.normal(size=shape[::-1])
    centroids /= np.linalg.norm(centroids, axis=1, keepdims=True)
    arrays = {
        "weights": random.normal(size=shape).astype(np.float32),
        "bias": np.zeros(len(labels), np.float32),
        "centroids": centroids.astype(np.float16),
    }
    return Head("logistic", tuple(labels), embedder_id, arrays, {"temperature": 1.0})


def store_head(home: Path, classifier: str, version: str, **options: Any) -> ModelVersion:
    """Save a head in the model store under `home`."""
    folder = home / "models" / classifier / version
    digest = save_head(make_head(version, **options), folder)
    write_digest(folder, digest)
    return ModelVersion(
        classifier, version, str(folder), digest, options.get("embedder_id", EMBEDDER_ID)
    )


def champion(model: ModelVersion, why: str = "test") -> Deployment:
    return Deployment(model=model, role="champion", share=1.0, since=datetime.now(UTC), why=why)


def canary(model: ModelVersion, share: float) -> Deployment:
    return Deployment(model=model, role="canary", share=share, since=datetime.now(UTC), why="test")


def shadow(model: ModelVersion) -> Deployment:
    return Deployment(model=model, role="shadow", share=1.0, since=datetime.now(UTC), why="test")


def row(number: int, **changes: Any) -> bytes:
    return orjson.dumps(inference(number, **changes))


def inference(number: int, **changes: Any) -> Inference:
    row = {
        "occurred_at": datetime(2026, 1, 1, tzinfo=UTC),
        "request_id": f"request-{number}",
        "version": "1",
        "classifier": "organ",
        "role": "champion",
        "phrase": f"Phrase {number}",
        "cleaned": f"phrase {number}",
        "label": "heart",
        "probability": 0.75,
        "alternatives": (("lung", 0.25),),
        "embedder_id": EMBEDDER_ID,
        "cached": False,
        "latency_ms": 1.0,
    }
    return Inference(**{**row, **changes})


class FakeEmbedder:
    """Vectors from the text alone; remembers what it embedded, like the embedder's cache. `down`: it does not answer."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.down = False
        self._seen: set[str] = set()

    async def embed(self, cleaned: Sequence[str]) -> AsyncGenerator[Embedded, None]:
        if self.down:
            raise EmbedderUnavailable("an answer", came="none", do="try again")
        self.batches.append(list(cleaned))
        seen = [text in self._seen for text in cleaned]
        self._seen.update(cleaned)
        for hit in (True, False):
            places = [place for place, known in enumerate(seen) if known == hit]
            if places:
                yield Embedded(
                    places, np.stack([vector_of(cleaned[place]) for place in places]), hit
                )

    def stats(self) -> EmbedderStats | None:
        return (
            None
            if self.down
            else EmbedderStats(0, 0, 0, sum(map(len, self.batches)), len(self._seen))
        )


def vector_of(text: str) -> np.ndarray:
    vector = (
        np.random.default_rng(zlib.crc32(text.encode())).normal(size=DIMENSIONS).astype(np.float32)
    )
    return vector / np.linalg.norm(vector)


@dataclass
class Bench:
    """The request path with a fake embedder and a real journal."""

    home: Path
    embedder: FakeEmbedder = field(default_factory=FakeEmbedder)
    counts: JournalCounts = field(default_factory=JournalCounts)

    def __post_init__(self) -> None:
        self.heads = LiveHeads(EMBEDDER_ID, home=self.home)
        self.journal = Journal(self.home / "journal", counts=self.counts)
        self.answers = AnswerService(
            live=lambda: self.heads.current,
            embedder=self.embedder,
            journal=self.journal,
            cache=answer_cache(100),
        )

    def promote(self, classifier: str, version: str, **options: Any) -> ModelVersion:
        model = store_head(self.home, classifier, version, **options)
        self.roll_out(champion(model))
        return model

    def roll_out(self, champion: Deployment, **beside: Deployment) -> None:
        self.heads.refresh(lambda: {champion.model.classifier: Rollout(champion, **beside)})

    def parts(self) -> AppState:
        retained = Retained(
            lambda: self.heads.current,
            models=self.home / "models",
            home=self.home,
            embedder_id=EMBEDDER_ID,
        )
        return AppState(
            self.answers, self.heads, self.counts, self.embedder.stats, Keys(None), retained
        )

    def answer(self, *phrases: str, classifier: str = "organ") -> list[PredictionResponse]:
        return self.ask(
            [PhraseRequest(phrase, f"phrases[{place}]") for place, phrase in enumerate(phrases)],
            classifier=classifier,
        )

    def ask(
        self, asked: Sequence[PhraseRequest], *, classifier: str = "organ"
    ) -> list[PredictionResponse]:
        bodies = asyncio.run(self.answers.answer(classifier, asked))
        return [msgspec.json.decode(body, type=PredictionResponse) for body in bodies]

    def logged(self) -> list[dict[str, Any]]:
        lines = [
            line
            for segment in segments(self.home / "journal")
            for line in segment.read_bytes().splitlines()
        ]
        whole = [payload for line in lines if (payload := decode_line(line)) is not None]
        return [json.loads(row) for payload in whole for row in split_rows(payload)]


def build_tiny_embedder(folder: Path) -> Path:
    """Write a LiteRT model and embedder.json: tokens through a fixed random table. Imports tensorflow, to convert."""
    import tensorflow as tf

    class Tiny(tf.Module):
        def __init__(self) -> None:
            self.table = tf.constant(
                np.random.default_rng(0).normal(size=(4096, DIMENSIONS)).astype(np.float32)
            )

        @tf.function(
            input_signature=[
                tf.TensorSpec([None], tf.int32, name="ids"),
                tf.TensorSpec([None], tf.int32, name="lens"),
            ]
        )
        def from_ids(self, ids: tf.Tensor, lens: tf.Tensor) -> dict[str, tf.Tensor]:
            tokens = tf.RaggedTensor.from_row_lengths(tf.gather(self.table, ids % 4096), lens)
            owners = tf.cast(tokens.value_rowids(), tf.int32)
            return {
                "embeddings": tf.math.l2_normalize(
                    tf.math.unsorted_segment_sum(tokens.flat_values, owners, tf.shape(lens)[0]),
                    axis=1,
                )
            }

    tiny = Tiny()
    with tempfile.TemporaryDirectory() as scratch:
        tf.saved_model.save(tiny, scratch, signatures={"from_ids": tiny.from_ids})
        convert_saved_model(Path(scratch), folder, tokenizer=use_resource("sp.model"))
    said = {
        "embedder_id": EMBEDDER_ID,
        "handle": "tiny",
        "runtime": "litert",
        "dimensions": DIMENSIONS,
    }
    (folder / "embedder.json").write_text(json.dumps(said))
    return folder


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until(condition: Callable[[], bool], *, seconds: float, what: str) -> float:
    """Return the seconds it took; fail loudly at the deadline."""
    started = time.monotonic()
    while time.monotonic() - started < seconds:
        if condition():
            return time.monotonic() - started
        time.sleep(0.05)
    raise AssertionError(f"not within {seconds} s: {what}")


@contextmanager
def running(command: ServeCommand, *, cwd: Path, log: Path, url: str) -> Iterator[subprocess.Popen]:
    """A service process that is ready; ended with SIGTERM, at last with its process group."""
    environment = {**os.environ, **command.environment}
    with log.open("ab") as output:
        process = subprocess.Popen(
            command.argv,
            cwd=cwd,
            env=environment,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        wait_until(lambda: is_ready(url, process), seconds=150, what=f"{url} ready; see {log}")
        yield process
    finally:
        stop(process)


def is_ready(url: str, process: subprocess.Popen) -> bool:
    assert process.poll() is None, "the service ended while starting"
    try:
        return httpx.get(f"{url}/readyz", timeout=5).status_code == 200
    except httpx.HTTPError:
        return False


def stop(process: subprocess.Popen, *, seconds: float = 20) -> None:
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(10)
