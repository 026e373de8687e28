"""The log that the console is measured on: a year of answers, written by SQL in their order."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import sqlalchemy as sa
import yaml
from sqlalchemy.engine import Connection, Engine

from benchmarks.harness import progress
from core.contracts import Deployment, ModelVersion, Snapshot, Verdict
from core.decisions import record_decision
from core.deployments import append_deployment
from core.partitions import tidy_inference
from core.settings import load_settings
from core.snapshots import record_snapshot
from flows.context import LoopContext, open_context
from monitoring.performance.answer_counts import count_answers
from pipelines.model.digests import write_digest
from pipelines.model.head_file import Head, save_head

NAME = "block"
EMBEDDER_ID = "benchmark-1"
LABELS = 1_000
VERSIONS = 12
START = datetime(2025, 1, 1, tzinfo=UTC)
END = datetime(2026, 1, 1, tzinfo=UTC)
ONE_TRANSACTION = 250_000
"""Rows."""
_TEXT = (
    "acute chronic pain fracture of the left right heart lung cough fever infection unspecified "
    "injury burn skin knee hip ear eye throat stomach ulcer disease syndrome tumor benign malignant"
)
WORDS = tuple(_TEXT.split())
PARAMS = {"classifiers": {NAME: {"source": {"query": "queries/q.sql", "label": NAME}}}}


@dataclass(frozen=True)
class Scale:
    """How many answers, how many distinct phrases, how many answers people labelled, and how many
    items wait for reviewers.
    """

    answers: int
    phrases: int
    labelled: int
    waiting: int = 0


@contextmanager
def open_world(scale: Scale) -> Iterator[LoopContext]:
    """Yield a loop with a PostgreSQL of its own that holds the log; it is removed at the end."""
    with TemporaryDirectory(prefix="console-", ignore_cleanup_errors=True) as folder:
        (Path(folder) / "params.yaml").write_text(yaml.safe_dump(PARAMS), encoding="utf-8")
        settings = load_settings(
            home=Path(folder) / "home", repository=Path(folder), database_url=None
        )
        with open_context(settings) as loop:
            _write_history(loop)
            write_log(loop.engine, scale)
            progress("counts")
            count_answers(loop.engine, NAME, now=END)
            yield loop


def write_log(engine: Engine, scale: Scale) -> None:
    """Write the answers month by month, as the shipper does: every index grows with them."""
    for month in range(1, 13):
        now = datetime(START.year, month, 2, tzinfo=UTC)
        tidy_inference(engine, now=now, kept_months=36)
    seconds = (END - START).total_seconds() / scale.answers
    for first in range(0, scale.answers, ONE_TRANSACTION):
        last = min(first + ONE_TRANSACTION, scale.answers)
        with engine.begin() as connection:
            connection.execute(sa.text("set local synchronous_commit = off"))
            values = {"first": first, "last": last, "start": START, "seconds": seconds}
            sizes = {"phrases": scale.phrases, "answers": scale.answers}
            connection.execute(_ANSWERS, {**values, **sizes, "words": list(WORDS)})
        progress(f"{last:,} of {scale.answers:,} answers")
    with engine.begin() as connection:
        connection.execute(_LABELS, {"labelled": scale.labelled, "answers": scale.answers})
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(sa.text("vacuum analyze"))


_ANSWERS = sa.text(f"""
    insert into inference (occurred_at, request_id, version, classifier, role, phrase, cleaned,
        label, probability, alternatives, embedder_id, cached, latency_ms, region, flags, abstained)
    select
        cast(:start as timestamptz) + n * cast(:seconds as double precision) * interval '1 second',
        lpad(to_hex(n), 12, '0') || '-' || md5(n::text),
        (1 + n * {VERSIONS} / :answers)::text, '{NAME}', 'champion',
        initcap(phrase), phrase, 'L' || lpad((k % {LABELS})::text, 3, '0'),
        0.3 + 0.7 * random(), '[["L001", 0.1], ["L002", 0.05], ["L003", 0.02]]',
        '{EMBEDDER_ID}', true, 1.2, 'region ' || n % 12, '[]', n % 25 = 0
    from (
        select n, k,
            words[1 + k % {len(WORDS)}] || ' ' || words[1 + k / {len(WORDS)} % {len(WORDS)}]
            || ' ' || words[1 + k / {len(WORDS) ** 2} % {len(WORDS)}] || ' type ' || k as phrase
        from (
            select n, floor(:phrases * power(random(), 3))::int as k,
                cast(:words as text[]) as words
            from generate_series(cast(:first as bigint), :last - 1) as n
        ) as numbered
    ) as answered
""")
"""The phrase k is asked with probability ((k + 1) / phrases) ** (1/3) - (k / phrases) ** (1/3)."""

_LABELS = sa.text("""
    insert into feedback (received_at, request_id, classifier, label, author, kind)
    select inference.occurred_at + interval '1 day', request_id, classifier,
        case when random() < 0.9 then label else 'L000' end, 'ada', 'correction'
    from inference where sequence % greatest(:answers / :labelled, 1) = 0
""")


def _write_history(loop: LoopContext) -> None:
    """Record twelve versions, one a month, each with its head, its verdict and its snapshot."""
    models = loop.settings.models
    with loop.engine.begin() as connection:
        for number in range(1, VERSIONS + 1):
            moment = START + timedelta(days=30 * (number - 1))
            model = _store(models, str(number))
            append_deployment(connection, Deployment(model, "champion", 1.0, moment, "better"))
            _record(connection, number, moment)


def _store(models: Path, version: str) -> ModelVersion:
    random = np.random.default_rng(int(version))
    labels = tuple(f"L{number:03}" for number in range(LABELS))
    arrays: dict[str, np.ndarray] = {
        "weights": random.normal(size=(512, LABELS)).astype(np.float32),
        "bias": np.zeros(LABELS, np.float32),
        "centroids": random.normal(size=(LABELS, 512)).astype(np.float16),
    }
    folder = models / NAME / version
    head = Head("logistic", labels, EMBEDDER_ID, arrays, {"temperature": 1.0})
    digest = save_head(head, folder)
    write_digest(folder, digest)
    scores = {label: {"f1": float(random.random())} for label in labels}
    metrics = {"weighted_f1": 0.95, "macro_f1": 0.9, "accuracy": 0.95, "rows": 6000}
    text = json.dumps({"metrics": metrics, "labels": scores})
    (folder / "evaluation.json").write_text(text, encoding="utf-8")
    return ModelVersion(NAME, version, str(folder), digest, EMBEDDER_ID)


def _record(connection: Connection, number: int, moment: datetime) -> None:
    slices = {
        f"region {region}": {"rows": 500, "candidate": 0.95, "champion": 0.94}
        for region in range(12)
    }
    evidence = {
        "version": str(number),
        "champion_version": str(number - 1),
        "reason": "schedule",
        "rows": 6000,
        "candidate_weighted_f1": 0.95,
        "champion_weighted_f1": 0.94,
        "gain": 0.01,
        "gain_lower_bound": 0.001,
        "allowed_drop": 0.005,
        "accuracy_by_slice": slices,
        "flips_share": 0.01,
        "flips": [f"L{place:03} -> L{place + 1:03}: 0.10 %" for place in range(10)],
        "visible_harm": "falls of recall by 20 points would be proved in 300 labels",
    }
    run = f"run-{number}"
    record_decision(
        connection,
        Verdict("promote", ("better overall",), evidence),
        classifier=NAME,
        subject="gate",
        decided_at=moment,
        run=run,
    )
    counts = {f"L{place:03}": 200 + place for place in range(LABELS)}
    rows = sum(counts.values())
    record_snapshot(
        connection,
        Snapshot("q", moment, rows, "hash", "query"),
        git_tag=f"retrain-{run}",
        summary={"as_of": moment.isoformat(), "rows": rows, "labels": {NAME: counts}},
        trained=[NAME],
    )
