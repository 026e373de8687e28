"""A model from code for MLflow.

Save it with `mlflow.pyfunc.save_model(path, python_model=THIS_FILE)`; run `mlflow models serve`.
"""

from __future__ import annotations

from typing import Any

import mlflow
from mlflow.pyfunc.model import PythonModel


class Served(PythonModel):
    """Loads with the scoring server; its `inputs` are phrases."""

    def load_context(self, context: Any) -> None:
        """Load the model, once per process."""
        from benchmarks.serving_peers.whole_model import from_environment

        self._model = from_environment()

    def predict(
        self, context: Any, model_input: list[str], params: Any = None
    ) -> list[dict[str, Any]]:
        """Return one answer per phrase."""
        return self._model.answer(list(model_input))


mlflow.models.set_model(Served())
