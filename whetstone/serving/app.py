"""The routes. Each one parses, prepares and hands over; no logic of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TypeVar

from anyio import to_thread
from fastapi import FastAPI, Request, Response
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp

from whetstone.errors import UsageError
from whetstone.serving import chat, completions, embeddings, report, web_page
from whetstone.serving.answers import JsonResponse, answer, error_response
from whetstone.serving.errors import ApiError, bad
from whetstone.serving.guard import Guard, Keys
from whetstone.serving.models import Served
from whetstone.serving.offers import AT
from whetstone.serving.routes import Route
from whetstone.serving.schemas import (
    ChatRequest,
    CompletionRequest,
    EmbeddingRequest,
    LoadAdapter,
    UnloadAdapter,
    parse,
)
from whetstone.serving.state import State

T = TypeVar("T")
SMALL = 8 << 10  # bytes of a body whose template and tokens cost less than a hop to another thread


def build(
    state: State,
    keys: Keys,
    hosts: Iterable[str] | None,
    origins: Iterable[str] = (),
    rooms: Mapping[str, ASGIApp] | None = None,
) -> ASGIApp:
    """The application, guarded. See `Guard` for `hosts` and `origins`. `rooms`: path -> another application to serve
    there, which sees to it itself what pages of other origins may ask of it."""
    app = FastAPI(title="Whetstone", openapi_url=None, docs_url=None, redoc_url=None)
    _generation(app, state)
    _adapters(app, state, keys)
    _reading(app, state)
    web_page.mount(app)

    @app.exception_handler(ApiError)
    async def api_error(request: Request, failure: ApiError) -> Response:
        return error_response(failure)

    @app.exception_handler(HTTPException)
    async def http_error(request: Request, failure: HTTPException) -> Response:
        code = {404: "not_found", 405: "method_not_allowed"}.get(failure.status_code)
        message = f"{request.method} {request.url.path[:200]}: {failure.detail}"
        return error_response(ApiError(failure.status_code, message, code, None, failure.headers))

    @app.exception_handler(Exception)
    async def defect(request: Request, failure: Exception) -> Response:
        return error_response(ApiError(500, "something went wrong in the server: see its log", "internal_error"))

    for path, room in (rooms or {}).items():
        app.mount(path, room)
    return Guard(app, state, keys, hosts, origins, tuple(rooms or ()))


async def _apart(body: bytes, work: Callable[[], T], slow: bool = False) -> T:
    """Do it in another thread where it may take long, so that the streams of others go on."""
    return await to_thread.run_sync(work) if slow or len(body) >= SMALL else work()


def _generation(app: FastAPI, state: State) -> None:
    @app.post("/v1/chat/completions")
    async def chat_completions(request: Request) -> Response:
        body = await request.body()
        asked = await _apart(body, lambda: parse(ChatRequest, body))
        grammar = asked.tools or asked.response_format  # which may take seconds to compile
        dialogue = await _apart(body, lambda: chat.prepare(state, asked), bool(grammar))
        return await answer(state, request, dialogue, bool(asked.stream))

    @app.post("/v1/completions")
    async def text_completions(request: Request) -> Response:
        body = await request.body()
        asked = await _apart(body, lambda: parse(CompletionRequest, body))
        dialogue = await _apart(body, lambda: completions.prepare(state, asked))
        return await answer(state, request, dialogue, bool(asked.stream))

    @app.post("/v1/embeddings")
    async def embed(request: Request) -> Response:
        body = await request.body()
        asked = await _apart(body, lambda: parse(EmbeddingRequest, body))
        return await embeddings.answer(state, request, asked)


def _adapters(app: FastAPI, state: State, keys: Keys) -> None:
    def check() -> None:
        if not keys:
            raise ApiError(403, "adapters are managed only on a server with keys: see --api-key-file", "key_required")

    @app.post("/v1/load_lora_adapter")
    async def load_adapter(request: Request) -> Response:
        check()
        asked = parse(LoadAdapter, await request.body())
        try:
            served = await to_thread.run_sync(
                lambda: state.models.add_adapter(asked.lora_name, asked.lora_path, asked.base_model, asked.load_inplace)
            )
        except UsageError as failure:
            raise bad(str(failure), code="adapter_not_loaded") from None
        return JsonResponse(described(state, served))

    @app.post("/v1/unload_lora_adapter")
    async def unload_adapter(request: Request) -> Response:
        check()
        asked = parse(UnloadAdapter, await request.body())
        try:
            await to_thread.run_sync(lambda: state.models.remove_adapter(asked.lora_name))
        except UsageError as failure:
            raise ApiError(404, str(failure), "model_not_found", "lora_name") from None
        return JsonResponse({"id": asked.lora_name, "object": "model", "deleted": True})


def _reading(app: FastAPI, state: State) -> None:
    @app.get("/v1/models")
    async def models() -> Response:
        data = [described(state, served) for served in state.models.all]
        data += [offered(state, name) for name in state.offers.named]
        return JsonResponse({"object": "list", "data": data + [routed(route) for route in state.routes.values()]})

    @app.get("/v1/models/{name:path}")
    async def model(name: str) -> Response:
        if name in state.routes:
            return JsonResponse(routed(state.routes[name]))
        named = name in state.offers.named
        return JsonResponse(offered(state, name) if named else described(state, state.models.get(name)))

    @app.get("/health")
    async def health() -> Response:
        alive = state.service.alive
        status = "closing" if state.closing else "ok" if alive else "failed"
        return JsonResponse({"status": status}, 200 if status == "ok" else 503)

    @app.get("/metrics")
    async def metrics() -> Response:
        return Response(report.metrics(state), media_type="text/plain; version=0.0.4; charset=utf-8")


def described(state: State, served: Served) -> dict[str, object]:
    """A model as /v1/models lists it; `verifiers` are those that its strategies may go `by`."""
    return {
        "id": served.name,
        "object": "model",
        "created": served.created,
        "owned_by": "whetstone",
        "parent": served.base,
        "max_model_len": served.engine.capacity,
        "weight_version": served.engine.weight_version,
        "verifiers": sorted(state.offers.verifiers(served)),
    }


def offered(state: State, name: str) -> dict[str, object]:
    """A strategy with a name of its own, as /v1/models lists it; its `parent` is the model."""
    model, _, strategy = state.offers.named[name].partition(AT)
    try:
        served = described(state, state.models.get(model))
        del served["verifiers"]  # its name says which, if any
    except ApiError:  # an adapter that was unloaded
        served = {"object": "model", "owned_by": "whetstone"}
    return served | {"id": name, "created": state.offers.created, "parent": model, "strategy": strategy}


def routed(route: Route) -> dict[str, object]:
    """A route as /v1/models lists it, with the options that it chooses between."""
    about = {"id": route.name, "object": "model", "created": route.created, "owned_by": "whetstone", "parent": None}
    return about | {"route": route.options}
