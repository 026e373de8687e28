"""The kinds of head that params.yaml can ask for, with their defaults."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

Favour = Literal["weighted", "macro", "tail"]
"""The F1 that a head leans towards: of the traffic, of all labels alike, of the rare third."""


class StrictBlock(BaseModel):
    """A frozen block of params.yaml: no unknown key, no coercion, no NaN or infinity."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class LogisticHead(StrictBlock):
    """Logistic regression on the embedding. `C` is the inverse of the regularisation strength."""

    kind: Literal["logistic"]
    C: float = Field(30.0, gt=0)


class HybridSvmHead(StrictBlock):
    """Linear SVC on the embedding and the TF-IDF of hashed word and character n-grams.

    C : inverse of the regularisation strength
    ngram_weight : factor on the n-gram features; the embedding has factor 1
    buckets : number of hash buckets for the n-grams
    keep : share of the n-gram weights that the head stores, the largest first
    """

    kind: Literal["hybrid_svm"] = "hybrid_svm"
    C: float = Field(1.0, gt=0)
    ngram_weight: float = Field(0.7, gt=0)
    buckets: int = Field(2**14, ge=2**8, le=2**20)
    keep: float = Field(0.05, gt=0, le=1)


class TfidfSvmHead(StrictBlock):
    """Linear SVC on the TF-IDF of hashed n-grams alone, each phrase scaled to length 1.

    `C`, `buckets` and `keep` are those of `HybridSvmHead`.
    """

    kind: Literal["tfidf_svm"]
    C: float = Field(1.0, gt=0)
    buckets: int = Field(2**14, ge=2**8, le=2**20)
    keep: float = Field(0.05, gt=0, le=1)


class MlpHead(StrictBlock):
    """A perceptron on the embedding: one hidden layer of rectified units, fitted in Keras.

    hidden : units of the hidden layer
    dropout : share of the hidden units that each training step leaves out
    focal : gamma of the focal loss (Lin et al. 2017); 0 is cross-entropy
    """

    kind: Literal["mlp"]
    hidden: int = Field(512, ge=1, le=8192)
    epochs: int = Field(40, ge=1, le=1000)
    dropout: float = Field(0.5, ge=0, lt=1)
    focal: float = Field(0.0, ge=0, le=10)


class EnsembleHead(StrictBlock):
    """The mean of a linear SVC and a short-trained perceptron, weighted on the validation slice.

    The first four keys are those of `HybridSvmHead`, the others those of `MlpHead`.
    """

    kind: Literal["ensemble"]
    C: float = Field(1.0, gt=0)
    ngram_weight: float = Field(0.7, gt=0)
    buckets: int = Field(2**14, ge=2**8, le=2**20)
    keep: float = Field(0.05, gt=0, le=1)
    hidden: int = Field(256, ge=1, le=8192)
    epochs: int = Field(16, ge=1, le=1000)
    dropout: float = Field(0.5, ge=0, lt=1)


class MajorityHead(StrictBlock):
    """Always answers the most frequent label: the floor that other heads must beat."""

    kind: Literal["majority"]


def _block_of_kind(given: Any) -> Any:
    """`logistic` is short for `{kind: logistic}`."""
    return {"kind": given} if isinstance(given, str) else given


Head = Annotated[
    Annotated[
        LogisticHead | HybridSvmHead | TfidfSvmHead | MlpHead | EnsembleHead | MajorityHead,
        Field(discriminator="kind"),
    ],
    BeforeValidator(_block_of_kind),
]
