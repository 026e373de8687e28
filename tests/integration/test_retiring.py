"""What answered a question before ends when all that params.yaml names for it answers."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import Engine

from core.database import DatabaseUrls
from core.deployments import current_champions, history
from core.params.schema import load_params
from core.settings import load_settings
from flows.context import LoopContext
from flows.retiring import retire_replaced
from pipelines.model.head_file import Line
from pipelines.model_store import stored_version
from pipelines.promotion import append_promotion
from tests.support.heads import store_head

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SOURCE = "{query: queries/d.sql, label: l}"
PLAIN = f"classifiers:\n  other: {{source: {SOURCE}}}\n  kidney: {{source: {SOURCE}}}\n"
SHORT = PLAIN.replace(
    f"kidney: {{source: {SOURCE}}}",
    f"kidney: {{source: {SOURCE}, by: region, lines: [north, south]}}",
)


class Loop:
    def __init__(self, folder: Path, urls: DatabaseUrls, engine: Engine) -> None:
        self.folder = folder
        self.urls = urls
        self.engine = engine

    def promote(self, name: str, params: str) -> list[str]:
        """Promote version 1 of a classifier under these params; return what retired."""
        _, _, region = name.partition("_")
        line = Line("kidney", "region", region) if region else None
        model = store_head(self.folder, name, "1", line=line)
        assert stored_version(self.folder / "models", classifier=name, version="1") == model
        with self.engine.begin() as connection:
            append_promotion(connection, model, why="test", now=NOW)
        file = self.folder / "params.yaml"
        file.write_text(params)
        settings = load_settings(repository=self.folder, home=self.folder)
        context = LoopContext(settings, self.urls, self.engine, load_params(file))
        return retire_replaced(context, name, now=NOW)

    def answering(self) -> set[str]:
        with self.engine.connect() as connection:
            found = set(current_champions(connection))
        return {name for name in found if name.startswith(("kidney", "other"))}


@pytest.fixture
def loop(tmp_path: Path, database: DatabaseUrls, engine: Engine) -> Loop:
    return Loop(tmp_path, database, engine)


def test_lines_replace_one_classifier_and_one_classifier_replaces_lines(loop: Loop) -> None:
    assert loop.promote("other", PLAIN) == []
    assert loop.promote("kidney", PLAIN) == []
    assert loop.promote("kidney_north", SHORT) == [], "south has no line yet"
    assert loop.answering() == {"other", "kidney", "kidney_north"}
    assert loop.promote("kidney_south", SHORT) == ["kidney"]
    assert loop.answering() == {"other", "kidney_north", "kidney_south"}
    with loop.engine.connect() as connection:
        assert history(connection, "kidney")[-1].why == "replaced by kidney_north, kidney_south"

    one = SHORT.replace("north, south", "north")
    assert loop.promote("kidney_north", one) == ["kidney_south"]
    assert loop.promote("kidney", PLAIN) == ["kidney_north"]
    assert loop.answering() == {"other", "kidney"}


def test_classifiers_of_other_questions_stay(loop: Loop) -> None:
    loop.promote("kidney", PLAIN)
    renamed = PLAIN.replace("other:", "another:")
    assert loop.promote("kidney", renamed) == []
