"""A head trained on real phrases with the real embedder, once a session."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.builtin_embedder import USE
from core.params.heads import (
    EnsembleHead,
    HybridSvmHead,
    LogisticHead,
    MajorityHead,
    MlpHead,
    TfidfSvmHead,
)
from pipelines.model.classifier import PhraseClassifier
from pipelines.model.embedder import LITERT, Embed, load_model
from pipelines.model.embedder_building import build_embedder, convert_embedder
from pipelines.model.head_file import Head
from pipelines.model.heads import fit_head
from pipelines.model.training import TrainingRows
from tests.support.chapters import Split, as_training_rows, split_terms


@pytest.fixture(scope="session")
def embed(tmp_path_factory: pytest.TempPathFactory) -> Embed:
    folder: Path = tmp_path_factory.mktemp("use")
    build_embedder(USE, folder / "built")
    convert_embedder(folder / "built", folder / "litert")
    return load_model(folder / "litert", runtime=LITERT)


@pytest.fixture(scope="session")
def terms() -> Split:
    return split_terms()


@pytest.fixture(scope="session")
def training(embed: Embed, terms: Split) -> TrainingRows:
    return as_training_rows(terms.training, embed)


@pytest.fixture(scope="session")
def heads(training: TrainingRows) -> dict[str, Head]:
    """One head of every kind, with its defaults."""
    svm = HybridSvmHead()
    others = (LogisticHead(kind="logistic"), TfidfSvmHead(kind="tfidf_svm"), MlpHead(kind="mlp"))
    kinds = (svm, *others, EnsembleHead(kind="ensemble"), MajorityHead(kind="majority"))
    return {
        params.kind: fit_head(params, training=training, embedder_id="use", seed=7)
        for params in kinds
    }


@pytest.fixture(scope="session")
def classifier(heads: dict[str, Head], embed: Embed) -> PhraseClassifier:
    return PhraseClassifier(heads["hybrid_svm"], embed)
