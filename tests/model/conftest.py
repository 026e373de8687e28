"""A head trained on real phrases with the real embedder, once a session."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.params import HybridSvmHead
from pipelines.model.classifier import PhraseClassifier
from pipelines.model.embedder import Embed, build_use, load_embedder, use_id
from pipelines.model.heads import fit_head
from tests.model.chapters import Split, as_training_rows, split_terms


@pytest.fixture(scope="session")
def embed(tmp_path_factory: pytest.TempPathFactory) -> Embed:
    folder: Path = tmp_path_factory.mktemp("use") / "saved_model"
    build_use(folder)
    return load_embedder(folder)


@pytest.fixture(scope="session")
def terms() -> Split:
    return split_terms()


@pytest.fixture(scope="session")
def classifier(embed: Embed, terms: Split) -> PhraseClassifier:
    training = as_training_rows(terms.training, embed)
    return PhraseClassifier(fit_head(HybridSvmHead(), training=training, embedder_id=use_id(), seed=7), embed)
