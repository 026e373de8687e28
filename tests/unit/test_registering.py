"""A version counts as registered only when everything that belongs to it is stored."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from core.contracts import Verdict
from core.errors import DatabaseUnreachable
from flows.candidates import registering
from flows.run import Run

RUN = Run("run-1", datetime(2026, 1, 1, tzinfo=UTC), "manual")
BEFORE = ("require_registry", "finish_or_forget", "_log_results", "log_tuning", "_log_model")


class EmptyRegistry:
    """Knows no version, and numbers the first one."""

    @contextmanager
    def run(self, classifier: str, **_: object) -> Iterator[str]:
        yield "a run"

    def version_of(self, classifier: str, run: str) -> None:
        return None

    def log_folder(self, *_: object) -> None:
        pass

    def register(self, classifier: str, **_: object) -> str:
        return "1"


def test_a_head_is_stored_after_the_report_about_labels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise DatabaseUnreachable("the database to answer", came="nothing", do="start it")

    def store(models: Path, *, classifier: str, version: str, **_: object) -> None:
        (models / classifier / version).mkdir(parents=True)

    for name in BEFORE:
        monkeypatch.setattr(registering, name, lambda *_, **__: None)
    monkeypatch.setattr(registering, "_version_tags", lambda *_: {"embedder_id": "words-1"})
    monkeypatch.setattr(registering, "keep_label_report", fail)
    monkeypatch.setattr(registering, "store_version", store)
    settings = SimpleNamespace(models=tmp_path / "models", reports=tmp_path)
    context: Any = SimpleNamespace(settings=settings, registry=EmptyRegistry())
    workspace: Any = SimpleNamespace(folder=tmp_path)
    published: Any = None

    with pytest.raises(DatabaseUnreachable):
        registering.register_candidate(
            context, workspace, "organ", Verdict("keep", ("even",)), published, RUN
        )
    assert not (tmp_path / "models").exists(), "the next attempt registers the version anew"
