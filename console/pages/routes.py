"""The routes for programs: their OpenAPI document, and a page that tries them out."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import FileResponse, HTMLResponse

from console.access.people import Viewer
from console.rendering import render
from console.security import HEADERS
from core.swagger import FileName, swagger_folder

router = APIRouter(prefix="/api")
POLICY = f"{HEADERS['content-security-policy']}; style-src 'self' 'unsafe-inline'"
"""Swagger UI writes styles into its elements; scripts stay those of our own files."""


@router.get("")
def routes(request: Request, person: Viewer) -> HTMLResponse:
    """Show every route for programs, with a form that sends a request."""
    page = render(request, "routes.html")
    page.headers["content-security-policy"] = POLICY
    return page


@router.get("/openapi.json")
def document(request: Request, person: Viewer) -> dict[str, Any]:
    """Return the routes for programs as an OpenAPI document."""
    described: dict[str, Any] = request.app.openapi()
    for operations in described["paths"].values():
        for operation in operations.values():
            operation["summary"] = operation["description"].partition("\n")[0].rstrip(".")
    return described


@router.get("/swagger/{name}")
def swagger(name: FileName, person: Viewer) -> FileResponse:
    """Return a file of Swagger UI."""
    return FileResponse(swagger_folder() / name)
