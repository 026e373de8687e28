"""A head trained on real phrases with the real embedder, once a session."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.params import USE, HybridSvmHead
from pipelines.model.classifier import PhraseClassifier
from pipelines.model.embedder import LITERT, Embed, build_embedder, convert_embedder, load_model
from pipelines.model.heads import fit_head
from tests.model.chapters import Split, as_training_rows, split_terms


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
def classifier(embed: Embed, terms: Split) -> PhraseClassifier:
    training = as_training_rows(terms.training, embed)
    return PhraseClassifier(fit_head(HybridSvmHead(), training=training, embedder_id="use", seed=7), embed)
