"""The only reader of params.yaml: what changes the model."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    Field,
    StringConstraints,
    ValidationError,
    model_validator,
)

from core.builtin_embedder import USE
from core.errors import UnknownClassifier
from core.head_params import Head, HybridSvmHead, StrictBlock
from core.params_file import COLUMN, CRON, NAME, QUERY, can_happen, explain, read_params_file

Name = Annotated[str, StringConstraints(pattern=NAME)]
Column = Annotated[str, StringConstraints(pattern=COLUMN)]
Share = Annotated[float, Field(ge=0, le=1)]
Cron = Annotated[str, StringConstraints(pattern=CRON), AfterValidator(can_happen)]
LONGEST_DAYS = 365_000  # a thousand years; times overflow beyond some hundred thousand
RESERVED_COLUMNS = frozenset({"id", "phrase", "occurred_at", "region", "origin", "cleaned"})


class SourceParams(StrictBlock):
    """Where the labelled rows come from: a query file, the label column, and values bound to the query's `:names`."""

    query: str = Field(pattern=QUERY)
    label: Column
    parameters: dict[str, str | int | float | bool] = {}

    @model_validator(mode="after")
    def _label_is_a_label(self) -> SourceParams:
        if self.label in RESERVED_COLUMNS:
            raise ValueError(f"label is a reserved column; reserved are {sorted(RESERVED_COLUMNS)}")
        return self

    @property
    def dataset(self) -> str:
        """Name of the extraction; blocks with equal query and parameters share one."""
        stem = Path(self.query).stem
        if not self.parameters:
            return stem
        digest = hashlib.sha256(json.dumps(self.parameters, sort_keys=True).encode()).hexdigest()
        return f"{stem}-{digest[:8]}"


class GateParams(StrictBlock):
    """A candidate must reach the minimum, and must not lose more than these against the champion."""

    min_weighted_f1: Share = 0.5
    max_weighted_f1_drop: Share = 0.005
    max_label_recall_drop: Share = 0.10


class DriftParams(StrictBlock):
    """`window_rows` answers make one window; `cool_down_days` keep two retrainings for drift apart; `schedule` is cron."""

    window_rows: int = Field(2000, ge=100, le=10_000_000)
    cool_down_days: float = Field(1.0, ge=0, le=LONGEST_DAYS)
    schedule: Cron = "0 * * * *"


class ClassifierParams(StrictBlock):
    """One classifier. Only `source` is required. `compare`: heads that a retraining trains beside the chosen one, for its report alone."""

    source: SourceParams
    history_days: int = Field(1095, ge=1, le=LONGEST_DAYS)
    test_days: int = Field(90, ge=1)
    min_rows_per_label: int = Field(15, ge=2)
    head: Head = HybridSvmHead()
    compare: list[Head] = []
    gate: GateParams = GateParams()
    drift: DriftParams = DriftParams()
    schedule: Cron = "0 3 * * 1"

    @model_validator(mode="after")
    def _history_covers_test(self) -> ClassifierParams:
        if self.test_days >= self.history_days:
            raise ValueError(
                f"test_days ({self.test_days}) must be smaller than history_days ({self.history_days})"
            )
        return self


class EmbedderParams(StrictBlock):
    """`handle`: "universal-sentence-encoder-multilingual-3" (built from the wheel) or any TF-Hub handle or SavedModel path.

    `runtime` trains and serves: `litert` runs the built-in one, with int8 products and without TensorFlow, `tensorflow` runs every
    handle. Not given, it is the first that can.
    """

    handle: str = USE
    runtime: Literal["tensorflow", "litert"] = "litert"

    @model_validator(mode="before")
    @classmethod
    def _runtime_follows_handle(cls, given: Any) -> Any:
        foreign = isinstance(given, dict) and given.get("handle", USE) != USE
        return {"runtime": "tensorflow", **given} if foreign else given

    @model_validator(mode="after")
    def _runtime_fits(self) -> EmbedderParams:
        if self.runtime == "litert" and self.handle != USE:
            raise ValueError(
                f"runtime litert runs {USE} only; set runtime: tensorflow for {self.handle}"
            )
        return self


class CheckParams(StrictBlock):
    """Limits of the data checks. Shares are of rows; `max_unusable_share` of rows without a phrase, or a label, to learn from."""

    max_unseen_label_share: Share = 0.05
    max_ambiguous_share: Share = 0.30
    max_age_days: float = Field(7.0, gt=0, le=LONGEST_DAYS)
    min_volume_ratio: Share = 0.8
    max_phrase_length: int = Field(300, ge=1)
    max_garbage_share: Share = 0.01
    max_unusable_share: Share = 0.01
    max_duplicate_id_share: Share = 0.0
    max_duplicate_share: Share = 0.98


class Params(StrictBlock):
    """params.yaml as a whole."""

    seed: int = Field(7, ge=0, lt=2**32)  # what NumPy and scikit-learn take
    embedder: EmbedderParams = EmbedderParams()
    checks: CheckParams = CheckParams()
    classifiers: dict[Name, ClassifierParams] = Field(min_length=1)

    def classifier(self, name: str) -> ClassifierParams:
        """Return one block; raise `UnknownClassifier` naming the known ones."""
        if name not in self.classifiers:
            known = ", ".join(sorted(self.classifiers))
            raise UnknownClassifier(
                f"one of {known}", came=name, do="name a classifier of params.yaml"
            )
        return self.classifiers[name]

    def datasets(self) -> dict[str, dict[str, ClassifierParams]]:
        """Group the classifiers by the extraction that they share: dataset -> classifier -> block."""
        grouped: dict[str, dict[str, ClassifierParams]] = {}
        for name, block in self.classifiers.items():
            grouped.setdefault(block.source.dataset, {})[name] = block
        return grouped


def load_params(path: Path) -> Params:
    """Read and check params.yaml; raise `ParamsError` with the path of the first wrong key and what is allowed."""
    try:
        return Params.model_validate(read_params_file(path))
    except ValidationError as error:
        raise explain(error, known=_keys()) from None


def _keys() -> set[str]:
    """Every key that some block has."""
    return {key for block in StrictBlock.__subclasses__() for key in block.model_fields}
