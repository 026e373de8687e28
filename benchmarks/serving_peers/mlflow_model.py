"""The model as MLflow saves models from code: `mlflow.pyfunc.save_model(path, python_model=THIS_FILE)`, then `mlflow models serve`."""

from __future__ import annotations

from typing import Any

import mlflow
from mlflow.pyfunc import PythonModel


class Served(PythonModel):
    """Loads when the scoring server does; `inputs` are phrases."""

    def load_context(self, context: Any) -> None:
        """Once a process."""
        from benchmarks.serving_peers.whole_model import from_environment

        self._model = from_environment()

    def predict(
        self, context: Any, model_input: list[str], params: Any = None
    ) -> list[dict[str, Any]]:
        """One answer a phrase."""
        return self._model.answer(list(model_input))


mlflow.models.set_model(Served())
