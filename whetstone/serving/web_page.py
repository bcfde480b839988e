"""The web page at /: static files, when they are there. Nothing but this server is reachable from it."""

from __future__ import annotations

from pathlib import Path

from fastapi import FastAPI, Request, Response
from starlette.responses import FileResponse, RedirectResponse

from whetstone.serving.errors import ApiError

FOLDER = Path(__file__).parent / "page"
HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "font-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "x-frame-options": "DENY",
    "cross-origin-opener-policy": "same-origin",
    "cache-control": "no-cache",
}
TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".ico": "image/x-icon",
    ".woff2": "font/woff2",
    ".json": "application/json",
}


def mount(app: FastAPI, folder: Path = FOLDER) -> None:
    """Serve `folder` under /page/, and send / there."""

    @app.get("/")
    async def index() -> Response:
        if not (folder / "index.html").is_file():
            raise ApiError(404, "this server has no web page: its API is under /v1", "not_found")
        return RedirectResponse("/page/index.html", headers=HEADERS)

    @app.get("/page/{path:path}")
    async def file(request: Request, path: str) -> Response:
        found = (folder / path).resolve()
        if not found.is_relative_to(folder.resolve()) or not found.is_file() or found.suffix not in TYPES:
            raise ApiError(404, f"there is no {request.url.path[:200]}", "not_found")
        return FileResponse(found, media_type=TYPES[found.suffix], headers=HEADERS)
