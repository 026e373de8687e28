"""FastAPI with the model in its process.

`async def` costs less CPU than a thread per request. Run it with `uvicorn ...:app`.
"""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel

from benchmarks.serving_peers.whole_model import from_environment

app = FastAPI()
model = from_environment()


class PredictRequest(BaseModel):
    """One phrase."""

    phrase: str


class BatchRequest(BaseModel):
    """Several phrases."""

    phrases: list[str]


class Alternative(BaseModel):
    """Another likely label."""

    label: str
    probability: float


class Answer(BaseModel):
    """The label of a phrase."""

    label: str
    probability: float
    alternatives: list[Alternative]


@app.post("/predict")
async def predict(request: PredictRequest) -> Answer:
    """Answer one phrase."""
    return Answer(**model.answer([request.phrase])[0])


@app.post("/predict_batch")
async def predict_batch(request: BatchRequest) -> list[Answer]:
    """Answer several phrases."""
    return [Answer(**row) for row in model.answer(request.phrases)]


@app.get("/stats")
async def stats() -> dict[str, Any]:
    """Return the number of phrases and of LRU hits."""
    return {"asked": model.requested, "hits": model.hits}
