"""Real servers on loopback, on free ports, for the tests of this folder.

Their model is tiny and random. Its tokens are the 256 bytes: it can write any text, and half characters too.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
import tokenizers
from tokenizers import decoders, models, pre_tokenizers

from tests.tiny import TEMPLATE, tiny_config
from whetstone.cli import main
from whetstone.engine.engine import Engine
from whetstone.engine.protocol import Completion, Request, SamplingParams
from whetstone.engine.text.detokenize import byte_alphabet
from whetstone.models.checkpoint import save_folder
from whetstone.models.decoder import Decoder
from whetstone.models.loading import Loaded
from whetstone.models.tokenizer import Tokenizer
from whetstone.serving.server import Background, Server, Settings

CACHE = 64 << 20
HTTP = httpx.Client(timeout=60, verify=False)  # one for all: making a client takes longer than most requests


@cache
def byte_tokenizer(template: str = TEMPLATE) -> Tokenizer:
    """One token per byte; the chat marks are special tokens."""
    special = ["<|end|>", "<|user|>", "<|assistant|>", "<|system|>", "<|tool|>"]
    vocabulary = {token: place for place, token in enumerate([*special, *sorted(byte_alphabet())])}
    core = tokenizers.Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    core.decoder = decoders.ByteLevel()
    core.add_special_tokens(special)
    return Tokenizer(core, {"eos_token": "<|end|>", "chat_template": template})


def byte_model(seed: int = 0) -> Decoder:
    """Every parameter random."""
    return Decoder(tiny_config(vocab_size=byte_tokenizer().vocab_size, max_positions=2048)).randomise(seed)


def byte_folder(path: Path, seed: int = 0, template: str = TEMPLATE) -> Path:
    """The model as a folder."""
    if not path.exists():
        save_folder(byte_model(seed), path, byte_tokenizer(template))
    return path


def alone(prompt: str | list[int], tokens: int, seed: int = 0, temperature: float = 0.0, **params: Any) -> Completion:
    """What the engine samples without a server; a text is a user's message."""
    tokenizer = byte_tokenizer()
    ids = tokenizer.chat_ids([{"role": "user", "content": prompt}]) if isinstance(prompt, str) else prompt
    asked = SamplingParams(tokens, temperature, tokenizer.stop_ids, **params)
    (((completion,),)) = Engine(byte_model(), cache_bytes=CACHE).sample([Request(tuple(ids), (seed,))], asked)
    return completion


def text_of(completion: Completion) -> str:
    """What a client reads of it."""
    return byte_tokenizer().decode(completion.ids)


@contextmanager
def tiny_server(
    folder: Path, *models: str, adapters: dict[str, str] | None = None, cache_bytes: int = CACHE, **settings: Any
) -> Iterator[Background]:
    """A server of the random model "tiny" (and others)."""
    tiny = byte_folder(folder / "tiny")

    def engine(loaded: Loaded) -> Engine:
        return Engine(loaded.model, cache_bytes=cache_bytes)

    server = Server([f"tiny={tiny}", *models], adapters, Settings(port=0, **settings), make_engine=engine)
    with Background(server) as running:
        yield running
    assert leaks(running) == []


def leaks(running: Background) -> list[str]:
    """What a server at rest should not hold."""
    server = running.server
    found = []
    for served in server.state.models.all:
        if served.engine.pool.used:
            found.append(f"{served.engine.pool.used} cache blocks of {served.name}")
        if not served.engine.idle:
            found.append(f"work of {served.name}")
    if server.state.service.open:
        found.append(f"{server.state.service.open} requests")
    return found


def until(happened: Callable[[], bool], seconds: float = 60.0) -> None:
    """Wait for something; fails when it takes too long."""
    deadline = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < deadline, "it took too long"
        time.sleep(0.005)


def refused(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """What `whet serve` complains of, with options that make no sense, in this very process."""
    with pytest.raises(SystemExit) as ended:
        main(["serve", *map(str, arguments), "--port", "0"])
    assert ended.value.code == 2
    return capsys.readouterr().err


def client(running: Background, key: str = "none") -> openai.OpenAI:
    """The official client; failures are not tried again."""
    return openai.OpenAI(base_url=f"{running.url}/v1", api_key=key, max_retries=0, timeout=60)


def post(
    running: Background,
    path: str,
    json: Any = None,
    content: bytes | None = None,
    headers: dict[str, str] | None = None,
) -> httpx.Response:
    """One raw request."""
    return HTTP.post(f"{running.url}{path}", content=content, json=json, headers=headers)
