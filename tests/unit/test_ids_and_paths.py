"""Ids that become paths are refused unless they are plain; no pickle is read or written."""

from __future__ import annotations

import ast
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from core.errors import EmbedderUnusable, ParamsError, UnknownClassifier, UnknownVersion
from core.params.schema import load_params
from core.settings import load_settings
from flows.answering import open_version
from pipelines.__main__ import main
from pipelines.model_store import stored_version
from tests.architecture.test_map import ROOT, nodes
from tests.support.heads import store_head
from tests.support.request_paths import Bench

TRICKS = [
    "..",
    "../organ",
    "/etc",
    "organ/../organ",
    "organ/1",
    "",
    ".",
    "organ\0",
    "%2e%2e",
    "..\\organ",
    "~",
]


@pytest.mark.parametrize("name", TRICKS)
def test_a_classifier_in_params_is_a_plain_name(name: str, tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(
        f"classifiers:\n  {name!r}:\n    source: {{query: queries/a.sql, label: a}}\n".replace(
            "\\x00", "\0"
        ),
        encoding="utf-8",
    )
    with pytest.raises(ParamsError):
        load_params(path)


@pytest.mark.parametrize(
    "query", ["../secret.sql", "/etc/passwd", "queries/../../a.sql", "queries/a.sql/..", "queries/"]
)
def test_a_query_lies_under_queries(query: str, tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(
        f"classifiers:\n  organ:\n    source: {{query: {query!r}, label: a}}\n", encoding="utf-8"
    )
    with pytest.raises(ParamsError):
        load_params(path)


@pytest.mark.parametrize("name", TRICKS)
def test_a_version_is_found_by_plain_names_only(name: str, tmp_path: Path) -> None:
    store_head(tmp_path, "organ", "1")
    models = tmp_path / "models"
    assert stored_version(models, classifier="organ", version="1").version == "1"
    for classifier, version in (
        (name, "1"),
        ("organ", name),
        ("organ", "1/../1"),
        ("organ", "\u0661"),
    ):
        with pytest.raises(UnknownVersion):
            stored_version(models, classifier=classifier, version=version)


@pytest.mark.parametrize("name", [*TRICKS, "../other", "organ\n"])
def test_an_embedder_is_kept_under_a_plain_name(name: str, tmp_path: Path) -> None:
    settings = load_settings(home=tmp_path)
    model = store_head(tmp_path, "organ", "1")
    for folder in ("other", "embedders/organ/1", f"embedders/{model.embedder_id}"):
        tmp_path.joinpath(folder).mkdir(parents=True)
    assert settings.kept_embedder(model.embedder_id) == settings.embedders / model.embedder_id
    assert settings.kept_embedder(name) is None
    with pytest.raises(EmbedderUnusable, match="got none"):
        open_version(settings, replace(model, embedder_id=name))


@pytest.mark.parametrize("name", TRICKS)
def test_a_stage_takes_a_plain_name_only(name: str) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["train", name])
    assert ended.value.code == 2


@pytest.mark.parametrize("name", TRICKS)
def test_a_route_answers_for_known_classifiers_only(name: str, tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.promote("organ", "1")
    with pytest.raises(UnknownClassifier):
        bench.answer("a phrase", classifier=name)


def test_arrays_are_never_read_as_pickles() -> None:
    """numpy's default is False; nobody may say otherwise."""
    allowing = [
        path
        for path, node in nodes()
        if isinstance(node, ast.keyword)
        and node.arg == "allow_pickle"
        and ast.unparse(node.value) != "False"
    ]
    assert allowing == []


AUDITED = """
import sys
from pathlib import Path
calls = []
def hook(event, arguments):
    if event == "pickle.find_class":
        calls.append(arguments)
sys.addaudithook(hook)
from tests.support.request_paths import Bench
from tests.unit.test_heads import fit
from pipelines.model.head_file import load_head, save_head
for kind in ("logistic", "hybrid_svm", "majority"):
    folder = Path(sys.argv[1]) / kind
    save_head(fit(kind), folder)
    load_head(folder)
bench = Bench(Path(sys.argv[1]))
bench.promote("organ", "1")
bench.answer("heart attack", "cough")
assert bench.logged()
print(len(calls))
import pickle
pickle.loads(pickle.dumps(Path("a")))
assert calls, "the hook hears a pickle"
"""


def test_training_and_serving_load_no_pickle(tmp_path: Path) -> None:
    """Python's audit hook watches heads trained, written, read and served, and answers logged."""
    done = subprocess.run(
        [sys.executable, "-c", AUDITED, str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[-1] == "0"
