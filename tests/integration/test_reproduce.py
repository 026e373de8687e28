"""A version trained again: real git, DVC, MLflow and model store, with a trivial training."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from sqlalchemy.engine import Engine

from core.contracts import Deployment
from core.database import DatabaseUrls, with_driver
from core.deployments import append_deployment
from core.errors import NotReproducible, UnknownVersion
from lineage.lineage import version_lineage
from lineage.page import reproduction_rows, version_rows
from lineage.reproduce import reproduce
from pipelines.checks import RESULT
from pipelines.model_store import problem_of
from pipelines.registry import RegisteredVersion, Registry
from tests.support.heads import EMBEDDER_ID
from tests.support.places import own_place
from tests.support.published_runs import (
    AS_OF,
    NEARLY,
    OTHER,
    ROWS,
    Past,
    git,
    make_repository,
    model_of,
    remember_snapshot,
    retrain,
)


@pytest.fixture(scope="module")
def past(database: DatabaseUrls, tmp_path_factory: pytest.TempPathFactory) -> Past:
    folder = tmp_path_factory.mktemp("past")
    (folder / "repository").mkdir()
    make_repository(folder / "repository")
    settings = own_place(folder / "home", repository=folder / "repository")
    return Past(
        settings,
        database,
        Registry(with_driver(database.mlflow, "psycopg"), settings.home / "mlartifacts"),
    )


@pytest.fixture(scope="module")
def first(past: Past) -> RegisteredVersion:
    return retrain(past, "first")


@pytest.fixture
def hidden(past: Past) -> Iterator[Path]:
    """Where a test may hide what it takes away; the test itself puts it back."""
    folder = past.settings.home / "hidden"
    folder.mkdir(parents=True)
    yield folder
    shutil.rmtree(folder)


def test_a_version_comes_out_again_byte_for_byte_and_leaves_nothing_behind(
    past: Past, first: RegisteredVersion, engine: Engine
) -> None:
    def state() -> tuple[str, str]:
        repository = past.settings.repository
        return git(repository, "status", "--porcelain", "--ignored"), git(
            repository, "for-each-ref"
        )

    before = state()
    result = reproduce(past.loop(engine), "organ", first.version)
    assert (result.verdict.kind, result.restored) == ("identical", ())
    assert (result.tag, result.commit) == ("retrain-first", first.tags["git_commit"])
    assert result.notes[0].startswith("numpy 1.0 became ")
    assert state() == before
    assert "identical" in reproduction_rows(result)[0]


def test_an_identical_reproduction_puts_back_what_is_damaged_or_gone(
    past: Past, first: RegisteredVersion, engine: Engine
) -> None:
    head = past.stored(first.version) / "head.npz"
    head.write_bytes(head.read_bytes()[:-20])
    shutil.rmtree(past.settings.embedders / EMBEDDER_ID)
    shown = version_lineage(past.loop(engine), "organ", first.version)
    assert (shown["head"]["verified"], shown["embedder"]["kept"]) == (False, False)
    assert "content of digest" in shown["head"]["problem"]
    assert "NOT VERIFIED" in dict(version_rows(shown))["head"]
    result = reproduce(past.loop(engine), "organ", first.version)
    assert result.restored == (
        str(past.stored(first.version)),
        str(past.settings.embedders / EMBEDDER_ID),
    )
    assert problem_of(past.stored(first.version), digest=first.tags["head_digest"]) == ""
    assert (past.stored(first.version).with_name(f".{first.version}.damaged") / "head.npz").exists()


@pytest.mark.parametrize(("seed", "kind"), [(NEARLY, "equivalent"), (OTHER, "different")])
def test_a_tag_with_another_seed_shows_in_the_verdict(
    past: Past, engine: Engine, seed: int, kind: str
) -> None:
    known = retrain(past, f"tampered-{seed}", seed_at_tag=seed)
    shutil.rmtree(past.stored(known.version))
    result = reproduce(past.loop(engine), "organ", known.version)
    evidence = result.verdict.evidence
    shown = "\n".join(text for _, text in reproduction_rows(result))
    assert result.verdict.kind == kind
    assert evidence["files_that_differ"][-1] == "reference.parquet"
    assert evidence["outputs_that_differ"] == [
        "build/classifiers/organ/evaluation",
        "build/classifiers/organ/model",
    ]
    assert (result.restored, result.notes[0]) == (
        (),
        f"the stored head of version {known.version}: no files",
    )
    assert not past.stored(known.version).exists()
    if kind == "different":
        assert evidence["metrics_that_differ"] == {
            "metrics.accuracy": {"recorded": 2 / 3, "repeated": 1 / 3}
        }
        assert (
            "'Old cough' (right: lung): recorded lung (0.800000), repeated heart (0.700000)"
            in shown
        )


def test_a_changed_record_is_different(
    past: Past, first: RegisteredVersion, engine: Engine
) -> None:
    [file] = past.settings.home.glob(
        f"mlartifacts/organ/{first.run_id}/artifacts/evaluation/evaluation.json"
    )
    kept = file.read_text()
    file.write_text('{"metrics": {"accuracy": 1.0}}')
    verdict = reproduce(past.loop(engine), "organ", first.version).verdict
    file.write_text(kept)
    assert verdict.kind == "different"
    assert verdict.evidence["files_that_differ"] == ["evaluation.json"]
    assert "accuracy 1.0 became 0.66" in "; ".join(verdict.reasons)


def test_an_unknown_version_is_refused_with_the_known_ones(
    past: Past, first: RegisteredVersion, engine: Engine
) -> None:
    for classifier, version in (
        ("organ", "99"),
        ("organ", "../1"),
        ("nobody", "1"),
        ("x' or name like '%", "1"),
    ):
        with pytest.raises(UnknownVersion):
            reproduce(past.loop(engine), classifier, version)


def test_a_missing_or_moved_tag_is_named(
    past: Past, first: RegisteredVersion, engine: Engine
) -> None:
    repository = past.settings.repository
    commit = first.tags["git_commit"]
    git(repository, "tag", "--force", "retrain-first", "main")
    with pytest.raises(NotReproducible, match=rf"retrain-first at commit {commit}"):
        reproduce(past.loop(engine), "organ", first.version)
    assert version_lineage(past.loop(engine), "organ", first.version)["code"]["tag_holds"] is False
    git(repository, "tag", "--delete", "retrain-first")
    with pytest.raises(NotReproducible, match=r"no such tag.*git fetch"):
        reproduce(past.loop(engine), "organ", first.version)
    git(repository, "tag", "-a", "-m", "back", "retrain-first", commit)


def test_a_collected_cache_is_named(
    past: Past, first: RegisteredVersion, engine: Engine, hidden: Path
) -> None:
    cache = past.settings.repository / ".dvc" / "cache"
    cache.rename(hidden / "cache")
    with pytest.raises(NotReproducible, match=r"retrain-first in the DVC cache.*dvc pull"):
        reproduce(past.loop(engine), "organ", first.version)
    shutil.rmtree(cache, ignore_errors=True)
    (hidden / "cache").rename(cache)


def test_altered_rows_in_the_cache_are_refused(
    past: Past, first: RegisteredVersion, engine: Engine, hidden: Path
) -> None:
    cache = past.settings.repository / ".dvc" / "cache"
    shutil.copytree(cache, hidden / "cache")
    cached = next(
        file
        for file in cache.rglob("*")
        if file.is_file() and file.read_bytes().startswith(b"PAR1")
    )
    assert b"Lung pain" in cached.read_bytes()
    mode = cached.stat().st_mode
    cached.chmod(0o644)
    pq.write_table(ROWS.slice(1), cached)
    cached.chmod(mode)
    with pytest.raises(NotReproducible, match=r"corrupt files.*dvc pull"):
        reproduce(past.loop(engine), "organ", first.version)
    shutil.rmtree(cache)
    (hidden / "cache").rename(cache)


def test_a_lost_record_is_named(
    past: Past, first: RegisteredVersion, engine: Engine, hidden: Path
) -> None:
    folder = past.settings.home / "mlartifacts" / "organ" / first.run_id
    folder.rename(hidden / "run")
    with pytest.raises(NotReproducible, match=r"evaluation, head digest and dvc\.lock"):
        reproduce(past.loop(engine), "organ", first.version)
    (hidden / "run").rename(folder)


def test_tags_that_are_no_plain_names_lead_nowhere(
    past: Past, first: RegisteredVersion, engine: Engine
) -> None:
    """What somebody wrote into MLflow is not followed out of the folders of the home."""
    for folder in ("stolen", "reports/checks"):
        (past.settings.home / folder).mkdir(parents=True, exist_ok=True)
    for name, content in (
        ("embedder.json", '{"handle": "stolen"}'),
        (RESULT, '{"verdict": "pass", "checks": []}'),
    ):
        (past.settings.home / "stolen" / name).write_text(content)
    tags = {
        "embedder_id": "../stolen",
        "run": "../../stolen",
        "snapshot": first.tags["snapshot"].replace("notes:", "../data/notes:"),
    }
    with retagged(past, first, tags):
        facts = version_lineage(past.loop(engine), "organ", first.version)
        with pytest.raises(NotReproducible, match="plain names"):
            reproduce(past.loop(engine), "organ", first.version)
    assert (facts["embedder"]["handle"], facts["embedder"]["kept"], facts["checks"]) == (
        None,
        False,
        None,
    )


@contextmanager
def retagged(past: Past, known: RegisteredVersion, tags: Mapping[str, str]) -> Iterator[None]:
    for key, value in tags.items():
        past.registry.tag("organ", known.version, key, value)
    try:
        yield
    finally:
        for key in tags:
            past.registry.tag("organ", known.version, key, known.tags[key])


def test_lineage_verifies_nothing_of_a_snapshot_that_was_not_recorded(
    past: Past, first: RegisteredVersion, engine: Engine
) -> None:
    facts = version_lineage(past.loop(engine), "organ", first.version)
    assert (facts["source"]["query_hash"], facts["source"]["verified"]) == (None, False)
    assert "hash unknown, NOT recorded here" in dict(version_rows(facts))["source"]


def test_lineage_verifies_what_can_be_verified(
    past: Past, first: RegisteredVersion, engine: Engine
) -> None:
    remember_snapshot(engine, first)
    with engine.begin() as connection:
        append_deployment(
            connection, Deployment(model_of(past, first), "champion", 1.0, AS_OF, "first version")
        )
    facts = version_lineage(past.loop(engine), "organ")
    assert facts["version"] == first.version
    assert facts["source"]["verified"] is True
    assert facts["snapshot"]["rows"] == 3
    assert facts["head"]["verified"] is True
    assert facts["code"]["tag_holds"] is True
    assert facts["params"] == {
        "seed": 7,
        "source": {"query": "queries/notes.sql", "label": "organ"},
    }
    assert [(row["since"], row["until"], row["digest_holds"]) for row in facts["deployments"]] == [
        (AS_OF, None, True)
    ]
    assert facts["mlflow"] == {"run_id": first.run_id, "metrics": {"accuracy": 2 / 3}}
    shown = dict(version_rows(facts))
    assert "matches the text below" in shown["source"]
    assert "verified in the model store" in shown["head"]
