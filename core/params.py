"""params.yaml as types: everything that changes a model. Nothing else reads the file.

A classifier is one block, and a block needs only its `source`; the defaults are those given here.
An unknown key, a wrong type or an impossible value raises `ParamsError` before any work begins.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    Discriminator,
    Field,
    Tag,
    ValidationError,
    model_validator,
)

from core.abstain_params import AbstainParams
from core.bias_params import BiasParams
from core.builtin_embedder import USE
from core.cost_params import CostParams
from core.drift_params import DriftParams
from core.errors import UnknownClassifier
from core.gate_params import GateParams
from core.head_params import Favour, Head, HybridSvmHead, StrictBlock
from core.param_types import LONGEST_DAYS, Column, Cron, Name, Share
from core.params_file import (
    FROM,
    QUERY,
    explain,
    read_params_file,
)
from core.review_params import ReviewParams
from core.rule_params import RuleParams
from core.self_training_params import SelfTrainingParams
from core.tune_params import NEVER, Tune

Days = Annotated[int, Field(ge=1, le=LONGEST_DAYS)]
HistoryDays = Annotated[
    Annotated[Days, Tag("days")] | Annotated[Literal["auto"], Tag("auto")],
    Discriminator(lambda given: "auto" if isinstance(given, str) else "days"),
]
DEFAULT_HISTORY_DAYS = 1095
"""Also the window of `auto` where none was ever chosen, as in a bare `dvc repro`."""
RESERVED_COLUMNS = frozenset({"id", "phrase", "occurred_at", "region", "origin", "cleaned"})
"""Columns of a snapshot that cannot be labels."""


class SourceParams(StrictBlock):
    """Where the labelled rows of a classifier come from."""

    from_: str | None = Field(None, alias="from", pattern=FROM)
    """A source of its own: NAME for `PERENNIAL_SOURCE_<NAME>_URL`, or a path in the repository."""

    query: str = Field(pattern=QUERY)
    """The file of the query, `queries/NAME.sql`."""

    label: Column
    """The column of the query with the right label."""

    parameters: dict[str, str | int | float | bool] = Field(default_factory=dict)
    """Values for the `:names` of the query."""

    @model_validator(mode="after")
    def _label_is_not_reserved(self) -> SourceParams:
        if self.label in RESERVED_COLUMNS:
            raise ValueError(f"label is a reserved column; reserved are {sorted(RESERVED_COLUMNS)}")
        return self

    @property
    def dataset(self) -> str:
        """Name of the extraction; blocks with equal source, query and parameters share one."""
        stem = Path(self.query).stem
        if not self.parameters and self.from_ is None:
            return stem
        content = [self.from_, self.parameters] if self.from_ else self.parameters
        digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
        return f"{stem}-{digest[:8]}"

    @property
    def path(self) -> str | None:
        """Its own source as a path in the repository; None for a name or the shared source."""
        is_path = self.from_ is not None and not self.from_.isidentifier()
        return self.from_ if is_path else None

    @property
    def name(self) -> str | None:
        """The name of its own source; None for a path or the shared source."""
        return None if self.path else self.from_


class ErrorsParams(StrictBlock):
    """What the error report of a retraining warns of."""

    max_gap: Share = 0.2
    """Largest fall in the share of phrases answered right, from training phrases to new ones and
    from these to the newest ones. A larger one turns the report red and stops nothing."""


class ClassifierParams(StrictBlock):
    """One classifier. Only `source` is required."""

    source: SourceParams

    purpose: str = ""
    """What the classifier is for, and what not, for its cards."""

    owner: str = ""
    """Who answers for it, for its cards."""

    history_days: HistoryDays = DEFAULT_HISTORY_DAYS
    """How many days back the training and test rows go; `auto`: a retraining chooses."""

    history_budget_seconds: float = Field(600.0, gt=0, le=86_400)
    """With `auto`: the longest that a choice may take; then the last choice stays."""

    test_days: int = Field(90, ge=1)
    """The newest days: their rows test the model and do not train it."""

    min_rows_per_label: int = Field(15, ge=2)
    """Labels with fewer rows are left out."""

    head: Head = HybridSvmHead()

    favour: Favour = "weighted"
    """The F1 that the head leans towards; the gate looks at it beside the weighted F1."""

    compare: list[Head] = Field(default_factory=list)
    """Heads that a retraining also trains and scores, for its report alone."""

    rules: list[RuleParams] = Field(default_factory=list)
    """Patterns that decide a label after the head, in this order; off where they hurt."""

    self_training: SelfTrainingParams | None = None
    """Learns confident answers to phrases without a label; None for labelled rows alone."""

    abstain: AbstainParams | None = None
    """When it answers "none of these"; None for a classifier that always answers."""

    tune: Tune = NEVER
    """Whether a retraining first looks for better settings of the head."""

    gate: GateParams = GateParams()

    drift: DriftParams = DriftParams()

    review: ReviewParams = ReviewParams()

    costs: CostParams = CostParams()
    """What a wrong answer costs; without the block every mistake costs 1."""

    errors: ErrorsParams = ErrorsParams()

    bias: BiasParams = BiasParams()

    schedule: Cron = "0 3 * * 1"
    """When the classifier is retrained, as five fields of cron in UTC."""

    @model_validator(mode="after")
    def _history_covers_test(self) -> ClassifierParams:
        if self.test_days >= self.fixed_history_days:
            raise ValueError(
                f"test_days ({self.test_days}) must be smaller "
                f"than history_days ({self.fixed_history_days})"
            )
        return self

    @property
    def fixed_history_days(self) -> int:
        """`history_days` as a number; DEFAULT_HISTORY_DAYS for `auto`."""
        return DEFAULT_HISTORY_DAYS if self.history_days == "auto" else self.history_days


class EmbedderParams(StrictBlock):
    """The model that turns a phrase into a vector."""

    handle: str = USE
    """The built-in Universal Sentence Encoder, a TF-Hub handle, or the path of a SavedModel."""

    runtime: Literal["tensorflow", "litert"] = "litert"
    """The runtime of training and serving.

    `litert` runs the built-in encoder with int8 products and without TensorFlow; `tensorflow` runs
    every handle. The default is the first of them that can run the handle.
    """

    @model_validator(mode="before")
    @classmethod
    def _runtime_follows_handle(cls, block: Any) -> Any:
        is_foreign = isinstance(block, dict) and block.get("handle", USE) != USE
        return {"runtime": "tensorflow", **block} if is_foreign else block

    @model_validator(mode="after")
    def _runtime_fits(self) -> EmbedderParams:
        if self.runtime == "litert" and self.handle != USE:
            raise ValueError(
                f"runtime litert runs {USE} only; set runtime: tensorflow for {self.handle}"
            )
        return self


class CheckParams(StrictBlock):
    """Limits of the data checks. A share is a share of the snapshot's rows.

    max_unseen_label_share : rows with a label that the previous snapshot did not have
    max_ambiguous_share : rows whose label differs from that of most rows with their phrase
    max_age_days : age of the newest row at the moment of the snapshot
    min_volume_ratio : rows, relative to those of the previous snapshot
    max_phrase_length : characters of a phrase
    max_garbage_share : rows whose phrase contains control or replacement characters
    max_unusable_share : rows without a phrase, or without a label, to learn from
    max_duplicate_id_share : rows with the id of another row
    max_duplicate_share : rows that repeat the phrase of another row
    """

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

    seed: int = Field(7, ge=0, lt=2**32)
    """Seed of training and of the gate's bootstrap; NumPy and scikit-learn take 32 bits."""

    max_false_alarms: float = Field(2.0, gt=0, le=1000)
    """Drifts called without a reason that are tolerated per year, over all classifiers."""

    embedder: EmbedderParams = EmbedderParams()
    checks: CheckParams = CheckParams()
    classifiers: dict[Name, ClassifierParams] = Field(min_length=1)
    """One block per classifier, by its name."""

    def classifier(self, name: str) -> ClassifierParams:
        """Return one block. Raises `UnknownClassifier` naming the existing ones."""
        if name not in self.classifiers:
            raise UnknownClassifier(
                f"one of {', '.join(sorted(self.classifiers))}",
                came=name,
                do="name a classifier of params.yaml",
            )
        return self.classifiers[name]

    def datasets(self) -> dict[str, dict[str, ClassifierParams]]:
        """Return dataset -> classifier -> block: classifiers of one dataset share an extraction."""
        grouped: dict[str, dict[str, ClassifierParams]] = {}
        for name, block in self.classifiers.items():
            grouped.setdefault(block.source.dataset, {})[name] = block
        return grouped


def load_params(path: Path) -> Params:
    """Read and check params.yaml.

    Raises `ParamsError` with the path of the first wrong key and what is allowed there.
    """
    try:
        return Params.model_validate(read_params_file(path))
    except ValidationError as error:
        raise explain(error, known=_keys()) from None


def _keys() -> set[str]:
    """Return every key that some block has."""
    fields = [
        field for block in StrictBlock.__subclasses__() for field in block.model_fields.items()
    ]
    return {field.alias or key for key, field in fields}
