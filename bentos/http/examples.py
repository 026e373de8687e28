"""Example requests and answers of the OpenAPI document, as values of the HTTP interface's types."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from msgspec import Struct

from bentos.answering.encoding import Alternative
from bentos.http.classifiers import BesideInfo, ClassifierInfo, ClassifiersResponse
from bentos.http.explain import (
    ExplainedWord,
    ExplainRequest,
    ExplanationResponse,
    Step,
    TrainingPhrase,
)
from bentos.http.feedback import FeedbackRequest, FeedbackResponse
from bentos.http.schemas import (
    BatchResponse,
    PredictBatchRequest,
    PredictionResponse,
    PredictRequest,
)

CLASSIFIER = "block"
VERSION = "3"
MOMENT = datetime(2026, 1, 31, 8, tzinfo=UTC)
_PREDICTION = PredictionResponse(
    request_id="019ab2c4-7f31-7c55-9d0e-3a1f52c9e001",
    classifier=CLASSIFIER,
    label="S60-S69",
    probability=0.93,
    alternatives=[Alternative("S50-S59", 0.05)],
    version=VERSION,
    revision=12,
    known=False,
    pinned=False,
    abstained=False,
    role="champion",
    cached=False,
)


@dataclass(frozen=True)
class Examples:
    """Of one route: its answer, and requests by what they show."""

    answer: Struct
    requests: Mapping[str, Struct] = field(default_factory=dict)


EXAMPLES = {
    "predict": Examples(
        _PREDICTION,
        {
            "a phrase": PredictRequest("fx of left wrist"),
            "with its client, moment and region": PredictRequest(
                "fx of left wrist", key="ward 7", occurred_at=MOMENT, region="north"
            ),
        },
    ),
    "predict_batch": Examples(
        BatchResponse([_PREDICTION]),
        {"two phrases": PredictBatchRequest(["fx of left wrist", "type 2 diabetes"])},
    ),
    "explain": Examples(
        ExplanationResponse(
            classifier=CLASSIFIER,
            version=VERSION,
            revision=12,
            role="champion",
            phrase="fx of left wrist",
            label="S60-S69",
            probability=0.93,
            steps=[Step("head", "S60-S69", 0.93)],
            runner_up="S50-S59",
            words=[
                ExplainedWord("fx", 0.7, 0.8),
                ExplainedWord("of", 0.1, 0.1),
                ExplainedWord("left", 0.3, 0.3),
                ExplainedWord("wrist", 3.9, 0.8),
            ],
            base=(0.1, 0.2),
            nearest=[TrainingPhrase("fracture of wrist, left", "S60-S69", 0.91)],
        ),
        {"a phrase": ExplainRequest("fx of left wrist")},
    ),
    "feedback": Examples(
        FeedbackResponse(_PREDICTION.request_id, "desk of the hospital", MOMENT),
        {
            "of an answer": FeedbackRequest(
                "S50-S59", request_id=_PREDICTION.request_id, kind="correction"
            ),
            "of a phrase": FeedbackRequest(
                "S60-S69", classifier=CLASSIFIER, phrase="fx of left wrist"
            ),
        },
    ),
    "classifiers": Examples(
        ClassifiersResponse(
            [
                ClassifierInfo(
                    CLASSIFIER,
                    VERSION,
                    "champion",
                    ["S50-S59", "S60-S69"],
                    [BesideInfo("4", "canary", 0.1)],
                )
            ]
        )
    ),
}
