from __future__ import annotations

import asyncio
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from bentos.heads import retained as module
from bentos.heads.loading import HEAD_FILES, LiveModel
from bentos.heads.retained import Retained
from core.errors import HeadRefused, UnknownClassifier, UnknownVersion
from pipelines.model.head_file import save_head
from tests.support.heads import make_head, store_head
from tests.support.request_paths import Bench


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    """Version 1 answers; 2 and 3 lie in the model store."""
    bench = Bench(tmp_path)
    bench.promote("organ", "1")
    for version in "23":
        store_head(tmp_path, "organ", version)
    yield bench
    bench.journal.close()


def find(retained: Retained, *versions: str, classifier: str = "organ") -> list[LiveModel]:
    async def run() -> list[LiveModel]:
        return await asyncio.gather(*(retained.find(classifier, version) for version in versions))

    return asyncio.run(run())


def test_any_version_of_the_store_is_loaded_once_however_many_ask(bench: Bench) -> None:
    retained = bench.parts().retained
    models = find(retained, "2", "2", "3") + find(retained, "2")
    assert [(one.model.version, one.role) for one in models] == [
        ("2", "asked"),
        ("2", "asked"),
        ("3", "asked"),
        ("2", "asked"),
    ]
    assert (retained.loads, len(retained)) == (2, 2)


def test_a_version_that_plays_a_role_is_not_loaded_again(bench: Bench) -> None:
    retained = bench.parts().retained
    [models] = find(retained, "1")
    assert (models.role, models.classifier is bench.heads.current["organ"].champion.classifier) == (
        "asked",
        True,
    )
    assert (retained.loads, len(retained)) == (0, 0)


def test_few_are_kept_the_last_asked(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "KEPT", 1)
    retained = bench.parts().retained
    for version in ("2", "3", "3", "2"):
        find(retained, version)
    assert (retained.loads, len(retained)) == (3, 1)


@pytest.mark.parametrize("version", ["4", "40000000", "0"])
def test_an_error_for_an_unknown_version_names_the_known_ones(bench: Bench, version: str) -> None:
    with pytest.raises(UnknownVersion, match="3, 2, 1"):
        find(bench.parts().retained, version)


def test_an_unknown_classifier_is_refused_before_any_path_is_made(bench: Bench) -> None:
    with pytest.raises(UnknownClassifier):
        find(bench.parts().retained, "1", classifier="../organ")


def test_another_head_under_a_known_number_is_refused_also_when_the_right_one_has_answered(
    bench: Bench,
) -> None:
    retained = bench.parts().retained
    find(retained, "2")
    for name in HEAD_FILES:
        shutil.copy(
            bench.home / "models" / "organ" / "3" / name,
            bench.home / "models" / "organ" / "2" / name,
        )
    with pytest.raises(HeadRefused, match="digest"):
        find(retained, "2")
    store_head(bench.home, "organ", "2")
    assert find(retained, "2")[0].model.version == "2"


def test_a_head_whose_digest_nobody_wrote_down_is_refused(bench: Bench) -> None:
    save_head(make_head("4"), bench.home / "models" / "organ" / "4")
    with pytest.raises(HeadRefused, match="perennial reproduce organ 4"):
        find(bench.parts().retained, "4")


def test_a_head_that_may_not_answer_is_refused_and_looked_at_again(bench: Bench) -> None:
    retained = bench.parts().retained
    model = store_head(bench.home, "organ", "5", embedder_id="other")
    with pytest.raises(HeadRefused):
        find(retained, "5")
    assert store_head(bench.home, "organ", "5").head_digest != model.head_digest
    assert find(retained, "5")[0].model.version == "5"
