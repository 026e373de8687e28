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
    AfterValidator,
    Field,
    StringConstraints,
    ValidationError,
    model_validator,
)

from core.builtin_embedder import USE
from core.errors import UnknownClassifier
from core.head_params import Head, HybridSvmHead, StrictBlock
from core.params_file import (
    COLUMN,
    CRON,
    FROM,
    NAME,
    QUERY,
    explain,
    possible_day,
    read_params_file,
)
from core.review_params import ReviewParams
from core.rule_params import RuleParams
from core.tune_params import NEVER, Tune

Name = Annotated[str, StringConstraints(pattern=NAME)]
Column = Annotated[str, StringConstraints(pattern=COLUMN)]
Share = Annotated[float, Field(ge=0, le=1)]
Cron = Annotated[str, StringConstraints(pattern=CRON), AfterValidator(possible_day)]
LONGEST_DAYS = 365_000
"""A thousand years. Dates overflow beyond some hundred thousand days more."""
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


class GateParams(StrictBlock):
    """What a candidate must reach, and what it may lose against the champion."""

    min_weighted_f1: Share = 0.5
    """Least weighted F1 on the test rows."""

    max_weighted_f1_drop: Share = 0.005
    """Largest loss of weighted F1 against the champion, at the lower 95 % bound."""

    max_label_recall_drop: Share = 0.10
    """Largest loss of recall or precision of a single label, once it is proved."""

    max_champion_days: float = Field(90.0, gt=0, le=LONGEST_DAYS)
    """After so many days, a candidate that is not worse replaces the champion."""

    max_flips: Share = 1.0
    """Largest share of the recent answers that may change without a person; 1 never waits."""

    promote: Literal["automatic", "by_hand"] = "automatic"
    """`by_hand`: a candidate that would be promoted waits for `perennial rollout promote`."""


class DriftParams(StrictBlock):
    """How the traffic of a classifier is watched."""

    window_rows: int = Field(2000, ge=100, le=10_000_000)
    """Most answers per window. A window spans at least a day; of a busy day so many are read."""

    window_days: float = Field(7.0, ge=1, le=LONGEST_DAYS)
    """Most days per window, unless fewer than 100 answers came."""

    cool_down_days: float = Field(1.0, ge=0, le=LONGEST_DAYS)
    """Least days between two retrainings for drift."""

    min_labelled_share: Share = 0.3
    """Share of the drifted answers whose phrase has a label, before drift retrains."""

    schedule: Cron = "0 * * * *"
    """When windows are judged, as five fields of cron in UTC."""


class ClassifierParams(StrictBlock):
    """One classifier. Only `source` is required."""

    source: SourceParams

    history_days: int = Field(1095, ge=1, le=LONGEST_DAYS)
    """How many days back the training and test rows go."""

    test_days: int = Field(90, ge=1)
    """The newest days: their rows test the model and do not train it."""

    min_rows_per_label: int = Field(15, ge=2)
    """Labels with fewer rows are left out."""

    head: Head = HybridSvmHead()

    compare: list[Head] = Field(default_factory=list)
    """Heads that a retraining also trains and scores, for its report alone."""

    tune: Tune = NEVER
    """Whether a retraining first looks for better settings of the head."""

    rules: list[RuleParams] = Field(default_factory=list)
    """Patterns that decide a label after the head, in this order; off where they hurt."""

    gate: GateParams = GateParams()

    drift: DriftParams = DriftParams()

    review: ReviewParams = ReviewParams()

    schedule: Cron = "0 3 * * 1"
    """When the classifier is retrained, as five fields of cron in UTC."""

    @model_validator(mode="after")
    def _history_covers_test(self) -> ClassifierParams:
        if self.test_days >= self.history_days:
            raise ValueError(
                f"test_days ({self.test_days}) must be smaller "
                f"than history_days ({self.history_days})"
            )
        return self


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
