"""The library's routes: each one reads its arguments, asks the shelf and fills a page."""

from __future__ import annotations

import mimetypes
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar
from urllib.parse import parse_qs, quote

from anyio import to_thread
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, RedirectResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from whetstone.episodes.embedding import Embedder
from whetstone.episodes.library import api, pages, sentences
from whetstone.episodes.library.door import Door
from whetstone.episodes.library.shelf import Compose, Shelf, UnknownEpisode, Wanted
from whetstone.errors import UsageError, WorkFailed

T = TypeVar("T")
HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; media-src 'self' https: http:; "
        "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "x-frame-options": "DENY",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}
TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".md": "text/markdown; charset=utf-8",
    ".json": "application/json",
    ".vtt": "text/vtt; charset=utf-8",
}
LONGEST = 1000  # characters of a query, a question or a name


def library_app(
    store: Path,
    hosts: Iterable[str] | None = (),
    compose: Compose | None = None,
    embedder: Embedder | None = None,
) -> ASGIApp:
    """The library of the store at `store`, to be mounted or served by itself. `hosts`: as `Door` takes them. `compose`:
    who writes answers to questions; without it they are passages. `embedder`: whose vectors search by meaning compares.

    Raises UsageError where there is no store that can be opened.
    """
    from whetstone.episodes.library.stored import open_shelf

    return app_of(open_shelf(store, compose, embedder), hosts)


def app_of(shelf: Shelf, hosts: Iterable[str] | None = ()) -> ASGIApp:
    """The library of any shelf."""
    routes = Routes(shelf, pages.Pages(shelf))
    app = Starlette(
        routes=[
            Route("/", routes.index),
            Route("/search", routes.search),
            Route("/ask", routes.question),
            Route("/ask", routes.ask, methods=["POST"]),
            Route("/library.css", routes.style),
            Route("/e/{episode}/", routes.episode),
            Route("/e/{episode}/audio", routes.audio),
            Route("/e/{episode}/speakers", routes.speakers),
            Route("/e/{episode}/speakers", routes.rename, methods=["POST"]),
            Route("/e/{episode}/sentences", routes.sentences),
            Route("/e/{episode}/sentences", routes.correct, methods=["POST"]),
            Route("/e/{episode}/dismiss", routes.dismiss, methods=["POST"]),
            Route("/e/{episode}/{file}", routes.file),
            Route("/api/summary", routes.api_summary, methods=["POST"]),
            Route("/api/keep", routes.api_keep, methods=["POST"]),
            Route("/api/search", routes.api_search, methods=["POST"]),
        ],
        exception_handlers={
            HTTPException: routes.refused,
            UsageError: routes.mistaken,
            WorkFailed: routes.failed,
            Exception: routes.defect,
        },
    )
    return Door(app, hosts)


async def _apart(work: Callable[[], T]) -> T:
    """In another thread: the store is read from a disk, and a model may take its time."""
    return await to_thread.run_sync(work)


class Routes:
    """The handlers. What they raise becomes a page that says it."""

    def __init__(self, shelf: Shelf, made: pages.Pages) -> None:
        self._shelf, self._pages = shelf, made

    async def index(self, request: Request) -> Response:
        wanted, title, page = _wanted(request), _text(request, "title"), _page(request)
        return _html(await _apart(lambda: self._pages.index(_base(request), wanted, title, page)))

    async def search(self, request: Request) -> Response:
        wanted, query = _wanted(request), _text(request, "q")
        return _html(await _apart(lambda: self._pages.search(_base(request), wanted, query)))

    async def question(self, request: Request) -> Response:
        wanted = _wanted(request)
        return _html(await _apart(lambda: self._pages.ask(_base(request), wanted, "")))

    async def ask(self, request: Request) -> Response:
        form = await _form(request)
        wanted = Wanted(form.get("show", ""), form.get("speaker", ""), form.get("since", ""), form.get("until", ""))
        return _html(await _apart(lambda: self._pages.ask(_base(request), wanted, form.get("q", ""))))

    async def style(self, request: Request) -> Response:
        return Response(self._pages.style, headers=HEADERS, media_type=TYPES[".css"])

    async def episode(self, request: Request) -> Response:
        return await self._file(request, "index.html")

    async def file(self, request: Request) -> Response:
        return await self._file(request, request.path_params["file"])

    async def _file(self, request: Request, name: str) -> Response:
        episode = request.path_params["episode"]
        files = await _apart(lambda: self._pages.episode(_base(request), episode))
        if name not in files:
            raise HTTPException(404, "there is no such page")
        return Response(files[name], headers=HEADERS, media_type=TYPES["." + name.rpartition(".")[2]])

    async def audio(self, request: Request) -> Response:
        episode = request.path_params["episode"]
        path = await _apart(lambda: self._shelf.audio(episode))
        if path is None or not path.is_file():
            raise HTTPException(404, "the sound of this episode is not on this machine")
        kind = mimetypes.guess_type(path.name)[0] or ""
        return FileResponse(
            path,
            media_type=kind if kind.startswith(("audio/", "video/")) else "application/octet-stream",
            headers=HEADERS,
        )

    async def speakers(self, request: Request) -> Response:
        episode = request.path_params["episode"]
        return _html(await _apart(lambda: self._pages.speakers(_base(request), episode)))

    async def rename(self, request: Request) -> Response:
        episode = request.path_params["episode"]
        form = await _form(request)
        names = {key.removeprefix("name:"): value for key, value in form.items() if key.startswith("name:")}
        in_show = form.get("show") == "yes"
        await _apart(lambda: self._shelf.rename(episode, names, in_show))
        return _to(request, f"/e/{quote(episode, safe='')}/")

    async def sentences(self, request: Request) -> Response:
        episode, at = request.path_params["episode"], _number(request.query_params.get("at", ""))
        return _html(await _apart(lambda: self._pages.sentences(_base(request), episode, at)))

    async def correct(self, request: Request) -> Response:
        episode = request.path_params["episode"]
        form = await _form(request)
        await _apart(lambda: self._shelf.correct(episode, sentences.corrections(form)))
        return _to(request, f"/e/{quote(episode, safe='')}/#s{_number(form.get('at', ''))}")

    async def dismiss(self, request: Request) -> Response:
        episode = request.path_params["episode"]
        form = await _form(request)
        claim, dismissed = form.get("claim", ""), form.get("dismissed") == "yes"
        await _apart(lambda: self._shelf.dismiss(episode, claim, dismissed))
        return _to(request, f"/e/{quote(episode, safe='')}/#claims")

    async def api_summary(self, request: Request) -> Response:
        asked = api.summary_request(await _json_body(request))
        return api.answer(await _apart(lambda: api.summary(self._shelf, _base(request), asked)), HEADERS)

    async def api_keep(self, request: Request) -> Response:
        asked = api.summary_request(await _json_body(request))
        return api.answer(await _apart(lambda: api.keep(self._shelf, _base(request), asked)), HEADERS)

    async def api_search(self, request: Request) -> Response:
        asked = api.search_request(await _json_body(request))
        return api.answer(await _apart(lambda: api.search(self._shelf, _base(request), asked)), HEADERS)

    async def defect(self, request: Request, failure: Exception) -> Response:
        return self._problem(request, 500, "Something went wrong in the library: see the server's log.")

    async def refused(self, request: Request, failure: Exception) -> Response:
        assert isinstance(failure, HTTPException)
        return self._problem(request, failure.status_code, failure.detail)

    async def mistaken(self, request: Request, failure: Exception) -> Response:
        return self._problem(request, 404 if isinstance(failure, UnknownEpisode) else 400, str(failure))

    async def failed(self, request: Request, failure: Exception) -> Response:
        return self._problem(request, 500, str(failure))

    def _problem(self, request: Request, status: int, what: str) -> Response:
        if api.is_api(request):
            return api.answer({"error": what}, HEADERS, status)
        return _html(self._pages.message(_base(request), what), status)


def _base(request: Request) -> str:
    """Where the library is mounted: "" or "/episodes"."""
    return str(request.scope.get("root_path", "")).rstrip("/")


def _html(page: str, status: int = 200) -> Response:
    return Response(page.encode("utf-8", "replace"), status, HEADERS, TYPES[".html"])


def _to(request: Request, path: str) -> Response:
    """After a form: a page that can be loaded again without sending the form again."""
    return RedirectResponse(_base(request) + path, 303, HEADERS)


def _text(request: Request, name: str) -> str:
    return request.query_params.get(name, "").strip()[:LONGEST]


def _page(request: Request) -> int:
    wanted = request.query_params.get("page", "1")
    return int(wanted) if wanted.isdecimal() and 0 < len(wanted) < 7 and int(wanted) else 1


def _number(text: str) -> int:
    """Of a segment; 0 for what is none."""
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 8 else 0


def _wanted(request: Request) -> Wanted:
    return Wanted(*(_text(request, name) for name in ("show", "speaker", "since", "until")))


async def _form(request: Request) -> dict[str, str]:
    """The first value of each field. Raises HTTPException for what is no form."""
    if request.headers.get("content-type", "").partition(";")[0].strip() != "application/x-www-form-urlencoded":
        raise HTTPException(415, "a form was expected")
    try:
        fields = parse_qs((await request.body()).decode("utf-8"), keep_blank_values=True, max_num_fields=500)
    except ValueError:
        raise HTTPException(400, "the form cannot be read") from None
    return {name: values[0].strip()[:LONGEST] for name, values in fields.items()}


async def _json_body(request: Request) -> bytes:
    # a form of another site cannot have this type without asking first, and nobody is allowed
    if request.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
        raise HTTPException(415, "the body must be JSON: content-type application/json")
    return await request.body()
