"""The dashboard: a page at `/` and the files it is made of, read once when the server starts.

Only files that were there then have a path at all, so that no request can name another one. They
hold no data and need no key.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib.resources import files

from fastapi import APIRouter, Request
from starlette.responses import Response

PAGE = "/"
FOLDER = "/static"
MEDIA_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
POLICY = {
    "default-src": "'none'",
    "script-src": "'self'",
    "style-src": "'self'",
    "img-src": "'self'",
    "connect-src": "'self'",
    "base-uri": "'none'",
    "form-action": "'none'",
    "frame-ancestors": "'none'",
    # Text of users can then become markup in no way, not even by a mistake in a script.
    "require-trusted-types-for": "'script'",
}
HEADERS = {
    "Content-Security-Policy": "; ".join(f"{name} {value}" for name, value in POLICY.items()),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    # Asked for again each time and answered with 304, so that page and scripts fit together.
    "Cache-Control": "no-cache",
}


@dataclass(frozen=True)
class Asset:
    """A file as it is sent."""

    content: bytes
    media_type: str
    tag: str


def assets() -> dict[str, Asset]:
    """Return the files by the path that they are served at."""
    found = {}
    for file in files("materia.api").joinpath("static").iterdir():
        suffix = "." + file.name.rpartition(".")[2]
        if suffix in MEDIA_TYPES:
            content = file.read_bytes()
            tag = f'"{hashlib.sha256(content).hexdigest()[:20]}"'
            path = PAGE if file.name == "index.html" else f"{FOLDER}/{file.name}"
            found[path] = Asset(content, MEDIA_TYPES[suffix], tag)
    return found


def router(served: dict[str, Asset]) -> APIRouter:
    """Return a route for each file."""
    routes = APIRouter(include_in_schema=False)

    def serve(request: Request) -> Response:
        asset = served[request.url.path]
        headers = {**HEADERS, "ETag": asset.tag}
        if request.headers.get("if-none-match") == asset.tag:
            return Response(status_code=304, headers=headers)
        return Response(asset.content, media_type=asset.media_type, headers=headers)

    for path in served:
        routes.add_api_route(path, serve, methods=["GET", "HEAD"])
    return routes
