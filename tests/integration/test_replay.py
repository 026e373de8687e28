"""Logged answers computed again: real PostgreSQL, a real journal, a small SavedModel."""

from __future__ import annotations

import dataclasses
import uuid
from pathlib import Path

import orjson
import pytest
from sqlalchemy.engine import Engine

from bentos.inference_log.journal import Journal, JournalCounts, segments
from bentos.inference_log.shipper import Shipper, insert_into
from core.contracts import Inference, ModelVersion
from core.database import DatabaseUrls
from core.deployments import append_deployment
from core.errors import EmbedderUnusable, HeadRefused, UnknownRequest
from core.params.schema import Params
from core.tables.loop import inference as inference_table
from flows.answering import open_version
from flows.context import LoopContext
from lineage.page import replay_rows
from lineage.replay import logged_rows, replay
from tests.support.embedders import build_tiny_embedder
from tests.support.heads import EMBEDDER_ID, champion, store_head
from tests.support.inferences import inference
from tests.support.places import own_place

PARAMS = Params.model_validate(
    {"classifiers": {"organ": {"source": {"query": "queries/notes.sql", "label": "organ"}}}}
)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("replay")
    build_tiny_embedder(folder / "embedders" / EMBEDDER_ID)
    return folder


@pytest.fixture
def loop(home: Path, database: DatabaseUrls, engine: Engine) -> LoopContext:
    return LoopContext(own_place(home), database, engine, PARAMS)


@pytest.fixture
def model(loop: LoopContext, home: Path) -> ModelVersion:
    model = store_head(home, "organ", "1")
    with loop.engine.begin() as connection:
        append_deployment(connection, champion(model))
    return model


def answered(loop: LoopContext, model: ModelVersion, phrase: str = "Old cough") -> Inference:
    """What the service would log for the phrase."""
    [answer] = open_version(loop.settings, model).predict([phrase])
    fields = {
        "label": answer.label,
        "probability": answer.probability,
        "alternatives": answer.alternatives,
    }
    return inference(
        1,
        request_id=str(uuid.uuid4()),
        phrase=phrase,
        cleaned=phrase.lower(),
        version=model.version,
        **fields,
    )


def log(loop: LoopContext, *rows: Inference) -> str:
    with loop.engine.begin() as connection:
        for row in rows:
            connection.execute(
                inference_table.insert().values(
                    **{**dataclasses.asdict(row), "flags": list(row.flags)}
                )
            )
    return rows[0].request_id


def test_an_answer_comes_out_again(loop: LoopContext, model: ModelVersion) -> None:
    [row] = replay(loop, log(loop, answered(loop, model)))
    assert row.verdict.kind == "identical"
    assert row.logged == row.replayed


def test_an_altered_answer_is_different_with_both_side_by_side(
    loop: LoopContext, model: ModelVersion
) -> None:
    row = answered(loop, model)
    [replayed] = replay(
        loop, log(loop, dataclasses.replace(row, probability=row.probability - 0.01))
    )
    assert replayed.verdict.kind == "different"
    assert "apart by up to 0.01" in replayed.verdict.reasons[0]
    assert {name for name, _ in replay_rows([replayed])} >= {"different", "logged", "replayed"}


def test_a_phrase_that_was_cleaned_otherwise_is_different(
    loop: LoopContext, model: ModelVersion
) -> None:
    [replayed] = replay(
        loop, log(loop, dataclasses.replace(answered(loop, model), cleaned="cough, old"))
    )
    assert replayed.verdict.kind == "different"
    assert "'cough, old' then, to 'old cough' now" in replayed.verdict.reasons[0]


def test_a_shadow_whose_files_are_gone_costs_no_answer(
    loop: LoopContext, model: ModelVersion
) -> None:
    row = answered(loop, model)
    shadow = dataclasses.replace(row, role="shadow", version="2")
    answer, shadowed = replay(loop, log(loop, shadow, row))
    assert (answer.role, answer.verdict.kind) == ("champion", "identical")
    assert (shadowed.role, shadowed.verdict.kind, shadowed.replayed) == ("shadow", "failed", None)


def test_a_row_that_waits_in_the_journal_is_found(loop: LoopContext, model: ModelVersion) -> None:
    row = answered(loop, model)
    journal = Journal(loop.settings.journal, counts=JournalCounts())
    journal.append(
        [orjson.dumps(one) for one in (row, dataclasses.replace(row, request_id=str(uuid.uuid4())))]
    )
    [found] = logged_rows(loop, row.request_id)
    journal.close()
    assert (found.label, found.probability, found.occurred_at, found.flags) == (
        row.label,
        row.probability,
        row.occurred_at,
        ("journal",),
    )
    assert replay(loop, row.request_id)[0].verdict.kind == "identical"


def test_a_row_that_is_shipped_while_it_is_sought_is_found(
    loop: LoopContext, model: ModelVersion, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was not in the table yet, and its segment is gone when it is opened."""
    row = answered(loop, model)
    counts = JournalCounts()
    journal = Journal(loop.settings.journal, counts=counts)
    journal.append([orjson.dumps(row)])
    journal.close()

    def listed_and_shipped(folder: Path) -> list[Path]:
        listed = segments(folder)
        Shipper(folder, insert=insert_into(loop.engine), counts=counts).ship()
        return listed

    monkeypatch.setattr("lineage.replay.segments", listed_and_shipped)
    [found] = logged_rows(loop, row.request_id)
    assert (found.label, found.occurred_at, found.flags) == (row.label, row.occurred_at, row.flags)


def test_a_tampered_head_is_refused_even_when_its_own_manifest_agrees(
    loop: LoopContext, model: ModelVersion, home: Path
) -> None:
    request = log(loop, answered(loop, model))
    other = Path(store_head(home, "organ", "3").head_location)
    for name in ("head.npz", "head.json"):
        (Path(model.head_location) / name).write_bytes((other / name).read_bytes())
    with pytest.raises(HeadRefused, match=r"another head, of digest .*perennial reproduce organ 1"):
        replay(loop, request)


def test_files_that_are_gone_are_named_with_what_restores_them(
    loop: LoopContext, model: ModelVersion, home: Path
) -> None:
    request = log(loop, answered(loop, model))
    Path(model.head_location).rename(home / "gone")
    with pytest.raises(HeadRefused, match=r"no files.*perennial reproduce organ 1"):
        replay(loop, request)
    (home / "gone").rename(model.head_location)
    (home / "embedders").rename(home / "elsewhere")
    with pytest.raises(EmbedderUnusable, match=r"embedder tiny-1 .*perennial reproduce organ 1"):
        replay(loop, request)
    (home / "elsewhere").rename(home / "embedders")


def test_an_unknown_request_is_reported_as_unknown(loop: LoopContext, model: ModelVersion) -> None:
    with pytest.raises(UnknownRequest, match="neither table nor journal"):
        replay(loop, str(uuid.uuid4()))
