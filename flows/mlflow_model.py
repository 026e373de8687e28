"""Writes a head as an MLflow model that answers phrases: its code is ours, nothing is pickled."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

from core.settings import REPOSITORY
from flows.mlflow_names import CLASSIFIER, EMBEDDER_ID, HEAD_DIGEST
from pipelines.model.head_file import head_digest

CODE = REPOSITORY / "flows" / "mlflow_code.py"
EXAMPLE = "the phrase to classify"
REQUIREMENTS = ("mlflow", "numpy", "pandas", "scipy")


def write_mlflow_model(folder: Path, *, head: Path, classifier: str, embedder_id: str) -> None:
    """Write the model; `head` holds the served head.

    The embedder is not copied: the model names its id, and finds it in PERENNIAL_HOME.
    """
    import pandas as pd
    from mlflow import pyfunc
    from mlflow.models.signature import ModelSignature
    from mlflow.types.schema import ColSpec, Schema

    answer = Schema([ColSpec("string", "label"), ColSpec("double", "probability")])
    pyfunc.save_model(
        path=folder,
        python_model=str(CODE),
        artifacts={"head": str(head / "head.npz"), "manifest": str(head / "head.json")},
        model_config={
            CLASSIFIER: classifier,
            EMBEDDER_ID: embedder_id,
            HEAD_DIGEST: head_digest(head),
        },
        signature=ModelSignature(Schema([ColSpec("string", "phrase")]), answer),
        input_example=pd.DataFrame({"phrase": [EXAMPLE]}),
        # Without a list, MLflow would spend half a minute and the network on guessing one.
        pip_requirements=[f"{name}=={version(name)}" for name in REQUIREMENTS],
    )
