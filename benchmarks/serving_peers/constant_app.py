"""Bare Starlette that reads the body and answers a constant: the cost of the web server alone.

Run it with `uvicorn ...:app`.
"""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

ANSWER = (
    b'{"label":"I20-I25","probability":0.9,"alternatives":[{"label":"I26-I28","probability":0.05}]}'
)


async def answer(request: Request) -> Response:
    """Answer every request alike."""
    await request.body()
    return Response(ANSWER, media_type="application/json")


app = Starlette(routes=[Route("/predict", answer, methods=["POST"])])
