from __future__ import annotations

from pathlib import Path

import pytest

from core.errors import ParamsError, UnknownClassifier
from core.params.heads import LogisticHead, MajorityHead, MlpHead
from core.params.schema import load_params

GOOD = "classifiers:\n  intent:\n    source: {query: queries/a.sql, label: intent}\n"


def params(tmp_path: Path, text: str):
    path = tmp_path / "params.yaml"
    path.write_text(text, encoding="utf-8")
    return load_params(path)


def test_only_source_is_required(tmp_path: Path) -> None:
    block = params(tmp_path, GOOD).classifier("intent")
    assert (block.head.kind, block.history_days, block.drift.window_rows) == (
        "hybrid_svm",
        1095,
        2000,
    )


@pytest.mark.parametrize(
    ("added", "where"),
    [
        ("    heads: {}\n", "classifiers.intent.heads"),
        ("    head: {kind: logistic, c: 3}\n", "classifiers.intent.head.c"),
        ("    head: {kind: forest}\n", "classifiers.intent.head"),
        ("    head: forest\n", "classifiers.intent.head"),
        ("    compare: mlp\n", "classifiers.intent.compare"),
        (
            "    compare: [logistic, forest]\n",
            "classifiers.intent.compare.1 .*tfidf_svm, mlp, ensemble, majority, got `forest`",
        ),
        ("    compare: [{kind: mlp, layers: 3}]\n", "classifiers.intent.compare.0.layers"),
        ("    head: {kind: mlp, epochs: 0}\n", "classifiers.intent.head.epochs"),
        ("    history_days: many\n", "classifiers.intent.history_days"),
        ("    test_days: 2000\n", "classifiers.intent"),
        ("    schedule: nonsense\n", "classifiers.intent.schedule"),
        ("    gate: {min_weighted_f1: 2}\n", "classifiers.intent.gate.min_weighted_f1"),
        ("    costs: {default: -1}\n", "classifiers.intent.costs.default"),
        ("    costs: {labels: {A: -1}}\n", "classifiers.intent.costs.*the cost of A"),
        ("    costs: {lables: {A: 1}}\n", "costs.lables.*write `labels`"),
        ("    costs: {pairs: [{right: A, answered: A, cost: 1}]}\n", "A twice"),
        (
            "    costs: {pairs: [{right: A, answered: B, cost: 1}, "
            "{right: A, answered: B, cost: 2}]}\n",
            "one cost for B instead of A",
        ),
    ],
)
def test_what_is_wrong_is_named_by_its_path(tmp_path: Path, added: str, where: str) -> None:
    with pytest.raises(ParamsError, match=where):
        params(tmp_path, GOOD + added)


@pytest.mark.parametrize(
    ("embedder", "where"),
    [
        ("{runtime: abacus}", "embedder.runtime"),
        ("{handle: ./mine, runtime: litert}", "set runtime: tensorflow for ./mine"),
    ],
)
def test_a_runtime_that_cannot_run_the_embedder_is_refused(
    tmp_path: Path, embedder: str, where: str
) -> None:
    with pytest.raises(ParamsError, match=where):
        params(tmp_path, f"embedder: {embedder}\n{GOOD}")


@pytest.mark.parametrize(
    ("embedder", "runtime"),
    [("{}", "litert"), ("{runtime: tensorflow}", "tensorflow"), ("{handle: ./mine}", "tensorflow")],
)
def test_the_runtime_is_the_first_that_can_run_the_embedder(
    tmp_path: Path, embedder: str, runtime: str
) -> None:
    assert params(tmp_path, f"embedder: {embedder}\n{GOOD}").embedder.runtime == runtime


def test_a_head_may_be_named_by_its_kind_alone(tmp_path: Path) -> None:
    block = params(
        tmp_path,
        GOOD + "    head: mlp\n    compare: [logistic, {kind: logistic, C: 3}, majority]\n",
    ).classifier("intent")
    assert block.head == MlpHead(kind="mlp")
    assert block.compare == [
        LogisticHead(kind="logistic"),
        LogisticHead(kind="logistic", C=3.0),
        MajorityHead(kind="majority"),
    ]


@pytest.mark.parametrize("label", ["phrase", "cleaned", "no-dash"])
def test_a_label_column_may_not_be_a_column_of_ours(tmp_path: Path, label: str) -> None:
    with pytest.raises(ParamsError, match="label"):
        params(tmp_path, GOOD.replace("label: intent", f"label: {label}"))


@pytest.mark.parametrize(
    "text", ["", "[]", "classifiers: {}", "classifiers: {Upper: {}}", "a: [", "classifiers: 3"]
)
def test_a_file_that_is_no_params_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(ParamsError):
        params(tmp_path, text)


def test_blocks_with_equal_query_and_parameters_share_an_extraction(tmp_path: Path) -> None:
    other = (
        "  {name}:\n    source: {{query: queries/a.sql, label: {name}, parameters: {parameters}}}\n"
    )
    text = (
        GOOD
        + other.format(name="topic", parameters="{}")
        + other.format(name="north", parameters="{region: north}")
    )
    datasets = params(tmp_path, text).datasets()
    assert sorted(map(sorted, datasets.values())) == [["intent", "topic"], ["north"]]


def test_an_unknown_classifier_is_refused_with_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(UnknownClassifier, match="intent"):
        params(tmp_path, GOOD).classifier("intnt")


@pytest.mark.parametrize(
    ("given", "name", "path"),
    [
        ("tickets", "tickets", None),
        ("tickets.csv", None, "tickets.csv"),
        ("exports/", None, "exports/"),
        ("exports/2026 (new)/a.parquet", None, "exports/2026 (new)/a.parquet"),
    ],
)
def test_a_block_names_a_source_of_its_own(
    tmp_path: Path, given: str, name: str | None, path: str | None
) -> None:
    own = GOOD.replace("{query", f"{{from: '{given}', query")
    source = params(tmp_path, own).classifier("intent").source
    shared = params(tmp_path, GOOD).classifier("intent").source
    assert (source.name, source.path) == (name, path)
    assert (shared.name, shared.path, shared.dataset) == (None, None, "a")
    assert source.dataset.startswith("a-")


@pytest.mark.parametrize(
    "given",
    ["/etc/rows.csv", "../rows.csv", "a/../../rows.csv", "Tickets", "sqlite:///rows.db", ""],
)
def test_a_source_outside_the_repository_needs_a_name(tmp_path: Path, given: str) -> None:
    with pytest.raises(ParamsError, match=r"source\.from: a source's name"):
        params(tmp_path, GOOD.replace("{query", f"{{from: '{given}', query"))


def test_blocks_of_different_sources_have_different_data(tmp_path: Path) -> None:
    sources = ["", "from: one, ", "from: two, ", "from: two, "]
    blocks = "".join(
        f"  c{number}:\n    source: {{{source}query: queries/a.sql, label: l{number}}}\n"
        for number, source in enumerate(sources)
    )
    datasets = params(tmp_path, f"classifiers:\n{blocks}").datasets()
    assert [sorted(blocks) for blocks in datasets.values()] == [["c0"], ["c1"], ["c2", "c3"]]
