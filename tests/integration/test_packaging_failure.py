"""A bento that cannot be built after a promotion: the error says what answers."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy.engine import Engine

from core.contracts import Deployment, ModelVersion
from core.database import DatabaseUrls
from core.deployments import append_deployment
from core.errors import ProcessFailed
from core.params.schema import load_params
from core.settings import REPOSITORY
from flows.candidates.packaging import package
from flows.context import LoopContext
from flows.run import Run
from pipelines.workspace import Workspace
from tests.support.places import own_place

NOW = datetime(2026, 3, 1, tzinfo=UTC)


def test_a_failed_build_names_the_version_that_answers(
    tmp_path: Path, engine: Engine, database: DatabaseUrls
) -> None:
    """The file of the embedder is missing from the home, as after a cleaned disk."""
    settings = own_place(tmp_path / "home")
    params = load_params(REPOSITORY / "params.yaml")
    context = LoopContext(settings, database, engine, params)
    model = ModelVersion("block", "7", str(tmp_path / "head"), "sha256:0", "use")
    earlier = ModelVersion("chapter", "3", str(tmp_path / "head"), "sha256:0", "use")
    with engine.begin() as connection:
        for row, since in ((model, NOW), (earlier, NOW.replace(year=2025))):
            append_deployment(connection, Deployment(row, "champion", 1.0, since, "promoted"))

    built = tmp_path / "clone" / "build" / "embedder"
    built.mkdir(parents=True)
    (built / "embedder.json").write_text(json.dumps({"embedder_id": "use"}))
    workspace = Workspace(tmp_path / "clone", "", tmp_path / "cache")
    with pytest.raises(ProcessFailed) as failure:
        package(context, workspace, Run("run1", NOW, "manual"))
    assert failure.value.came.endswith("; version 7 of block answers already")
    assert "No such file" in failure.value.came
    assert "retrain" in failure.value.do
