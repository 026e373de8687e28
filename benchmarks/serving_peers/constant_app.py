"""Bare Starlette that reads the body and answers a constant: what the web server alone costs. `uvicorn ...:app`."""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

ANSWER = (
    b'{"label":"I20-I25","probability":0.9,"alternatives":[{"label":"I26-I28","probability":0.05}]}'
)


async def answer(request: Request) -> Response:
    """Always the same."""
    await request.body()
    return Response(ANSWER, media_type="application/json")


app = Starlette(routes=[Route("/predict", answer, methods=["POST"])])
