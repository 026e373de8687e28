"""params.yaml as types: everything that changes a model. No other place defines its keys.

A classifier is one block, and a block needs only its `source`; the defaults are those given here.
An unknown key, a wrong type or an impossible value raises `ParamsError` before any work begins.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Annotated, Literal

from pydantic import (
    Discriminator,
    Field,
    Tag,
    ValidationError,
    field_validator,
    model_validator,
)

from core.errors import UnknownClassifier
from core.params.abstain import AbstainParams
from core.params.bias import BiasParams
from core.params.checks import CheckParams
from core.params.costs import CostParams
from core.params.drift import DriftParams
from core.params.embedder import EmbedderParams
from core.params.file import (
    FROM,
    QUERY,
    explain,
    read_params_file,
)
from core.params.gate import GateParams
from core.params.heads import Favour, Head, HybridSvmHead, StrictBlock
from core.params.lines import LineParams, expand_content, refuse_shared_regions
from core.params.review import ReviewParams
from core.params.rules import RuleParams
from core.params.self_training import SelfTrainingParams
from core.params.tune import NEVER, Tune
from core.params.types import LONGEST_DAYS, Column, Cron, Name, Share

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

    line: LineParams | None = None
    """The region whose rows it learns from and whose phrases it answers; None for all rows.

    A block with `by: region` and `lines: [north, south]` stands for one block per region."""

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

    def question(self, name: str) -> str:
        """Return what clients ask for: the question of a line, else the classifier's own `name`."""
        return self.line.of if self.line else name

    @property
    def fixed_history_days(self) -> int:
        """`history_days` as a number; DEFAULT_HISTORY_DAYS for `auto`."""
        return DEFAULT_HISTORY_DAYS if self.history_days == "auto" else self.history_days


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

    @field_validator("classifiers")
    @classmethod
    def _one_line_per_region(
        cls, blocks: dict[str, ClassifierParams]
    ) -> dict[str, ClassifierParams]:
        refuse_shared_regions({name: block.line for name, block in blocks.items() if block.line})
        return blocks

    def classifier(self, name: str) -> ClassifierParams:
        """Return one block. Raises `UnknownClassifier` naming the existing ones."""
        if name not in self.classifiers:
            raise UnknownClassifier(
                f"one of {', '.join(sorted(self.classifiers))}",
                came=name,
                do="name a classifier of params.yaml",
            )
        return self.classifiers[name]

    def named(self, name: str) -> list[str]:
        """Return the classifier of this name, or the lines of this question.

        Raises `UnknownClassifier`.
        """
        lines = self._lines(name)
        if lines and name not in self.classifiers:
            return list(lines.values())
        self.classifier(name)
        return [name]

    def answering(self, name: str, region: str | None) -> str:
        """Return the classifier that answers a question in a region, as the service chooses it.

        Raises `UnknownClassifier`.
        """
        lines = self._lines(name)
        if region in lines or name in self.classifiers or not lines:
            return lines.get(region or "", name)
        raise UnknownClassifier(
            f"a region that {name} has a line for: {', '.join(lines)}",
            came=region or "none",
            do="name one with --region",
        )

    def _lines(self, question: str) -> dict[str, str]:
        """Return region -> classifier for the lines of a question."""
        return {
            block.line.value: name
            for name, block in self.classifiers.items()
            if block.line and block.line.of == question
        }

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
        return Params.model_validate(expand_content(read_params_file(path)))
    except ValidationError as error:
        raise explain(error, known=_keys()) from None


def _keys() -> set[str]:
    """Return every key that some block has."""
    fields = [
        field for block in StrictBlock.__subclasses__() for field in block.model_fields.items()
    ]
    return {field.alias or key for key, field in fields}
