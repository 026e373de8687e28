"""FastAPI with the model in its process: `async def`, which costs less CPU than a thread a request. `uvicorn ...:app`."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel

from benchmarks.serving_peers.whole_model import from_environment

app = FastAPI()
model = from_environment()


class One(BaseModel):
    """A phrase."""

    phrase: str


class Many(BaseModel):
    """A batch."""

    phrases: list[str]


class Alternative(BaseModel):
    """A label that came close."""

    label: str
    probability: float


class Answer(BaseModel):
    """What a phrase is."""

    label: str
    probability: float
    alternatives: list[Alternative]


@app.post("/predict")
async def predict(asked: One) -> Answer:
    """Answer one."""
    return Answer(**model.answer([asked.phrase])[0])


@app.post("/predict_batch")
async def predict_batch(asked: Many) -> list[Answer]:
    """Answer all."""
    return [Answer(**said) for said in model.answer(asked.phrases)]


@app.get("/stats")
async def stats() -> dict[str, Any]:
    """Phrases asked for, and how many of them the LRU knew."""
    return {"asked": model.asked, "hits": model.hits}
