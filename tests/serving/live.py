"""Real servers on loopback, on free ports, for the tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import openai
import torch

from tests.tiny import tiny_folder
from whetstone.engine.engine import Engine
from whetstone.serving.server import Background, Server, Settings


@contextmanager
def tiny_server(
    folder: Path, *models: str, adapters: dict[str, str] | None = None, **settings: Any
) -> Iterator[Background]:
    """A server of the random model "tiny" (and others); the engines compute with one thread, as tests share cores."""
    torch.set_num_threads(1)
    path = folder / "tiny"
    if not path.exists():
        tiny_folder(path)
    make = lambda model: Engine(model, cache_bytes=64 << 20)  # noqa: E731
    server = Server([f"tiny={path}", *models], adapters, Settings(port=0, **settings), make_engine=make)
    with Background(server) as running:
        yield running
    assert leaked(server) == []


def leaked(server: Server) -> list[str]:
    """What a server that has stopped should not hold any more."""
    found = []
    for served in server._models.all:
        if served.engine.pool.used:
            found.append(f"{served.engine.pool.used} cache blocks of {served.name}")
        if not served.engine.idle:
            found.append(f"work of {served.name}")
    if server._service.open:
        found.append(f"{server._service.open} requests")
    return found


def client(running: Background, key: str = "none") -> openai.OpenAI:
    """The official client; failures are not tried again."""
    return openai.OpenAI(base_url=f"{running.url}/v1", api_key=key, max_retries=0, timeout=60)


def post(
    running: Background, path: str, content: bytes | None = None, json: Any = None, **headers: str
) -> httpx.Response:
    """One raw request."""
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    return httpx.post(f"{running.url}{path}", content=content, json=json, headers=sent, timeout=60)
