"""The pages for people: `/` names the routes, `/docs` tries them out. Every file is local.

They need no API key: they hold no phrase, and the name of no classifier.
"""

from __future__ import annotations

from collections.abc import Callable
from html import escape
from pathlib import Path

from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, Response
from starlette.routing import BaseRoute, Route

from bentos.http.openapi import OPERATIONS
from core.swagger import FILES, swagger_folder

OTHER_PATHS = (
    ("GET", "/docs", "Try the routes out in the browser"),
    ("GET", "/v1/openapi.json", "The same as an OpenAPI document"),
    ("GET", "/metrics", "Metrics for Prometheus"),
    ("GET", "/livez", "200 while the process lives"),
    ("GET", "/readyz", "200 once it answers"),
)
HEADERS = {
    "content-security-policy": (
        "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
        "frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
    ),
    "x-content-type-options": "nosniff",
}
CACHED = {**HEADERS, "cache-control": "max-age=3600"}

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Perennial</title>
<link rel="icon" href="data:,">
<style>
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 50rem; margin: 2rem auto; padding: 1rem }}
table {{ border-collapse: collapse }}
td {{ padding: .3rem 1rem .3rem 0; vertical-align: top }}
code, pre {{ font: 14px/1.5 ui-monospace, monospace }}
pre {{ background: #f4f4f4; color: #111; padding: .7rem; overflow: auto }}
:root {{ color-scheme: light dark }}
</style>
</head>
<body>
<h1>Perennial</h1>
<p>This service classifies phrases. <a href="docs">Try it out</a>, or ask it:</p>
<pre>curl HOST/v1/CLASSIFIER/predict \\
  -H 'content-type: application/json' -d '{{"phrase": "..."}}'</pre>
<p><code>GET /v1/classifiers</code> names the classifiers. Where API keys are configured,
<code>/v1</code> needs one: <code>authorization: Bearer KEY</code>.</p>
<table>
{rows}
</table>
</body>
</html>
"""
_DOCS = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Perennial: routes</title>
<link rel="stylesheet" href="docs/swagger-ui.css">
<link rel="icon" href="data:,">
</head>
<body>
<div id="routes"></div>
<script src="docs/swagger-ui-bundle.js"></script>
<script src="docs/start.js"></script>
</body>
</html>
"""
_START = """SwaggerUIBundle({
  url: "v1/openapi.json", dom_id: "#routes", validatorUrl: null, tryItOutEnabled: true,
});
"""


def index_page() -> str:
    """Return the HTML of `/`."""
    routes = [
        *((operation.method, operation.path, operation.summary) for operation in OPERATIONS),
        *OTHER_PATHS,
    ]
    return _PAGE.format(rows="\n".join(map(_row, routes)))


def _row(route: tuple[str, str, str]) -> str:
    method, path, summary = map(escape, route)
    plain = method == "GET" and not path.startswith("/v1/classifiers")
    shown = f'<a href="{path[1:]}"><code>{path}</code></a>' if plain else f"<code>{path}</code>"
    return f"<tr><td><code>{method}</code></td><td>{shown}</td><td>{summary}</td></tr>"


def page_routes() -> list[BaseRoute]:
    """Return the routes of the pages and of the files that they load."""
    index = HTMLResponse(index_page(), headers=HEADERS)
    docs = HTMLResponse(_DOCS, headers=HEADERS)
    start = Response(_START, media_type="text/javascript", headers=HEADERS)
    return [
        Route("/", lambda _: index),
        Route("/docs", lambda _: docs),
        Route("/docs/start.js", lambda _: start),
        *(Route(f"/docs/{name}", _file(swagger_folder() / name)) for name in FILES),
    ]


def _file(path: Path) -> Callable[[Request], Response]:
    return lambda _: FileResponse(path, headers=CACHED)
