"""Simulates a loop on the rows of one's own snapshot. Reads data/ and the log; writes neither."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from core.database import connect, open_database
from core.errors import TrainingImpossible
from core.files import write_json
from core.params.schema import ClassifierParams, Params, load_params
from core.settings import Settings
from core.tables.answers import ROUTED
from core.tables.loop import asked_by_clients, inference
from monitoring.drift.budget import Budget
from operations.simulation.advice import advise
from operations.simulation.events import draw_calendar
from operations.simulation.figures import summarise
from operations.simulation.loop import Year
from operations.simulation.own_world import OwnWorld
from operations.simulation.phrasebook import NEWEST_DAYS, Phrasebook, read_phrasebook
from operations.simulation.picture import draw_year
from operations.simulation.production import Machinery
from operations.simulation.runs import Runs, code_digest
from operations.simulation.vectors import Vectors, stored_vectors
from pipelines.snapshot_files import FACTS, ROWS
from pipelines.stages.files import DATA, EMBEDDINGS, read_json, read_rows

LEAST_NEWEST = 100
"""Newest rows that traffic can be drawn from."""


@dataclass(frozen=True)
class Question:
    """What is asked. `answers_a_day` is None for the traffic of the log, or of the snapshot."""

    classifier: str
    days: int
    answers_a_day: float | None
    labels_a_week: int
    policies: tuple[str, ...]
    events: tuple[str, ...]
    seed: int


@dataclass(frozen=True)
class Simulation:
    """What came of it.

    Attributes
    ----------
    traffic : where `answers_a_day` is from: "asked", "log" or "snapshot"
    events : kind, days and share of each event; `left_out` are kinds that the phrases do not allow
    policies : figures of each policy, as `summarise` gives them
    advice : sentences, the first about what to set
    folder : the runs, which are read when the same is asked again, and the picture
    """

    classifier: str
    days: int
    answers_a_day: float
    traffic: str
    labels_a_week: int
    seed: int
    events: list[dict[str, Any]]
    left_out: list[str]
    policies: dict[str, Any]
    advice: list[str]
    picture: Path
    folder: Path


def simulate(
    settings: Settings, question: Question, *, report: Callable[[str], None]
) -> Simulation:
    """Play the days under each policy; what was played before is read.

    Raises `UnknownClassifier`, `EmbedderUnusable`, and `TrainingImpossible` for rows that cannot
    carry a simulation.
    """
    params = load_params(settings.repository / "params.yaml")
    block = params.classifier(question.classifier)
    table, snapshot = _read_snapshot(settings, question.classifier, block)
    book = read_phrasebook(table, block, days=question.days)
    _refuse_few(book)

    answers_a_day, traffic = _traffic(settings, question, book)
    machinery = _machinery(settings, params, block)
    world = _world(question, book, answers_a_day, question.seed)
    key = _key(question, params, machinery, f"{snapshot} {answers_a_day}")
    folder = settings.reports / "simulate" / question.classifier / key
    draw = partial(_draw, question, book, answers_a_day)

    runs = Runs(draw, machinery, folder, report)
    notes = runs.play(seeds=[question.seed], policies=question.policies)
    figures = summarise(notes)
    simulation = Simulation(
        classifier=question.classifier,
        days=question.days,
        answers_a_day=round(answers_a_day, 1),
        traffic=traffic,
        labels_a_week=question.labels_a_week,
        seed=question.seed,
        events=[asdict(event) for event in world.calendar],
        left_out=list(world.left_out),
        policies=figures,
        advice=advise(figures, block=block, question=question, answers_a_day=answers_a_day),
        picture=draw_year(notes, file=folder / "days.png"),
        folder=folder,
    )
    write_json(folder / "simulation.json", asdict(simulation) | _as_text(simulation))
    return simulation


def _as_text(simulation: Simulation) -> dict[str, str]:
    return {"picture": str(simulation.picture), "folder": str(simulation.folder)}


def _read_snapshot(
    settings: Settings, classifier: str, block: ClassifierParams
) -> tuple[pa.Table, str]:
    """Return the rows of all regions and their logical hash."""
    dataset = block.source.dataset
    folder = settings.repository / DATA / dataset
    do = f"run `perennial snapshot {classifier}`"
    if not (folder / ROWS).exists() or not (folder / FACTS).exists():
        raise TrainingImpossible(f"a snapshot in {DATA / dataset}", came="none", do=do)
    table = read_rows(folder / ROWS)
    if block.source.label not in table.column_names:
        raise TrainingImpossible(
            f"the column {block.source.label} in {DATA / dataset / ROWS}",
            came=", ".join(table.column_names),
            do=do,
        )
    return table, str(read_json(folder / FACTS)["logical_hash"])


def _refuse_few(book: Phrasebook) -> None:
    newest = len(book.newest)
    if newest < LEAST_NEWEST or len(book.labels) < 2:
        raise TrainingImpossible(
            f"{LEAST_NEWEST} rows of the source in the newest third of the days, and two labels",
            came=f"{newest} rows, {len(book.labels)} labels",
            do="collect more labelled rows, then run `perennial snapshot`",
        )


def _traffic(settings: Settings, question: Question, book: Phrasebook) -> tuple[float, str]:
    if question.answers_a_day is not None:
        return question.answers_a_day, "asked"
    logged = _logged_a_day(settings, question.classifier)
    return (logged, "log") if logged else (book.a_day, "snapshot")


def _logged_a_day(settings: Settings, classifier: str) -> float | None:
    """Answers a day in the newest days of the log; None without any, or without a log."""
    if settings.database_url is None and not (settings.home / "postgres").exists():
        return None
    with open_database(settings) as urls:
        engine = connect(urls.perennial)
        try:
            with engine.connect() as connection:
                return logged_a_day(connection, classifier)
        finally:
            engine.dispose()


def logged_a_day(connection: Connection, classifier: str) -> float | None:
    """Answers a day to clients in the NEWEST_DAYS before the newest of them; None without any."""
    given = (
        inference.c.classifier == classifier,
        inference.c.role.in_(ROUTED),
        asked_by_clients(),
    )
    newest = connection.scalar(sa.select(sa.func.max(inference.c.occurred_at)).where(*given))
    if newest is None:
        return None
    since = newest - timedelta(days=NEWEST_DAYS)
    counted = sa.select(sa.func.count(), sa.func.min(inference.c.occurred_at))
    answers, first = connection.execute(
        counted.where(*given, inference.c.occurred_at > since)
    ).one()
    return float(answers / max(1.0, (newest - first) / timedelta(days=1)))


def _machinery(settings: Settings, params: Params, block: ClassifierParams) -> Machinery:
    budget = Budget.of(
        max_false_alarms=params.max_false_alarms, classifiers=len(params.classifiers)
    )
    return Machinery(block, _vectors(settings), seed=params.seed, false_alarms=budget)


def _vectors(settings: Settings) -> Vectors:
    """The embedder that was built here, or else the newest that a retraining stored."""
    kept = settings.embedders.glob("*/embedder.json")
    stored = sorted(kept, key=lambda file: file.stat().st_mtime)
    folder = settings.embedder
    if stored and not (folder / "embedder.json").exists():
        folder = stored[-1].parent
    return stored_vectors(
        settings.reports / "simulate" / "vectors",
        embedder=folder,
        known=settings.repository / EMBEDDINGS,
    )


def _key(question: Question, params: Params, machinery: Machinery, rows: str) -> str:
    """Names what the runs depend on; which policies are asked for is their files' names."""
    question_facts = {**asdict(question), "policies": None, "seed": None}
    parts = (
        code_digest(),
        json.dumps(question_facts, sort_keys=True),
        machinery.block.model_dump_json(),
        f"{params.seed} {machinery.false_alarms} {machinery.vectors.embedder_id} {rows}",
    )
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:12]


def _world(question: Question, book: Phrasebook, answers_a_day: float, seed: int) -> OwnWorld:
    calendar = draw_calendar(seed=seed, days=question.days, kinds=question.events)
    return OwnWorld(book, calendar=calendar, seed=seed, answers_a_day=answers_a_day)


def _draw(question: Question, book: Phrasebook, answers_a_day: float, seed: int) -> Year:
    world = _world(question, book, answers_a_day, seed)
    return Year.draw(world, days=question.days, labels_a_week=question.labels_a_week)
