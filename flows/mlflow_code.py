"""The code of every MLflow model: loads a head and its embedder, and answers phrases.

MLflow runs this file when a model is loaded (`mlflow.pyfunc.load_model`). The repository must be
importable, which `make setup` does, and PERENNIAL_HOME must hold the embedder of the version.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
from mlflow.pyfunc.model import PythonModel, PythonModelContext

from core.contracts import ModelVersion
from core.settings import load_settings
from flows.answering import open_version
from flows.mlflow_names import CLASSIFIER, EMBEDDER_ID, HEAD_DIGEST


class AnsweringModel(PythonModel):
    """Phrases to labels with probabilities, by the head alone: without the memory beside it."""

    def load_context(self, context: PythonModelContext) -> None:
        """Open the head of the artifacts, and the embedder that the model refers to by its id."""
        config = context.model_config
        version = ModelVersion(
            classifier=config[CLASSIFIER],
            version="",
            head_location=str(Path(context.artifacts["head"]).parent),
            head_digest=config[HEAD_DIGEST],
            embedder_id=config[EMBEDDER_ID],
        )
        self.classifier = open_version(load_settings(), version)

    def predict(
        self,
        context: PythonModelContext,
        model_input: pd.DataFrame,
        params: dict[str, Any] | None = None,
    ) -> pd.DataFrame:
        """Return one row of label and probability per phrase, in order."""
        phrases = [str(phrase) for phrase in model_input.iloc[:, 0]]
        answers = self.classifier.predict(phrases)
        return pd.DataFrame(
            {
                "label": [answer.label for answer in answers],
                "probability": [answer.probability for answer in answers],
            }
        )


mlflow.models.set_model(AnsweringModel())
