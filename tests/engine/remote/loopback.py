"""A real HTTP server on the loopback: honest answers of the local engine in OpenAI's words, and every kind of trouble.

Not a model of any one server: it takes the two calls that `Endpoint` makes, counts tokens, and does as a test tells it.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.tiny import tiny_model, tiny_tokenizer
from whetstone.engine.engine import Engine
from whetstone.engine.protocol import Request, SamplingParams
from whetstone.engine.rollout import completion_text
from whetstone.models.decoder import Decoder

NAME = "tiny-random"


@dataclass(frozen=True)
class Asked:
    """One request as it arrived; names of headers in lower case."""

    path: str
    headers: Mapping[str, str]
    body: dict[str, Any]
    at: float


@dataclass(frozen=True)
class Reply:
    """What goes back instead of an honest answer. `raw` is sent as it is; `hang`: seconds of silence before; `cut`: the
    connection ends in the middle of the answer."""

    status: int = 200
    body: object = None
    headers: Mapping[str, str] = field(default_factory=dict)
    raw: bytes | None = None
    hang: float = 0.0
    cut: bool = False


Trouble = Callable[[Asked, int], Reply | None]  # (what was asked, how many came before) -> None: answer honestly


def error(status: int, message: str, headers: Mapping[str, str] | None = None, **more: object) -> Reply:
    """An error in OpenAI's form."""
    return Reply(
        status, {"error": {"message": message, "type": "error", "param": None, "code": None, **more}}, headers or {}
    )


def in_turn(*replies: Reply | None) -> Trouble:
    """These, one after the other, and then honest answers."""
    return lambda _asked, before: replies[before] if before < len(replies) else None


class Loopback:
    """The server's state: `asked` holds every request; `most` the largest number under way at the same time."""

    def __init__(
        self, trouble: Trouble | None, model: Decoder | None, strict: Sequence[str], stop: frozenset[int]
    ) -> None:
        self.trouble = trouble
        self.strict = frozenset(strict)
        self.stop = stop
        self.engine = Engine(model or tiny_model(seed=3))
        self.tokenizer = tiny_tokenizer()
        self.asked: list[Asked] = []
        self.under_way = self.most = 0
        self.lock = threading.Lock()
        self.closing = threading.Event()
        self.address = ""

    def answer(self, asked: Asked) -> Reply:
        """What the engine says, or why the request is turned away."""
        body = asked.body
        for name in self.strict & body.keys():
            return error(400, f"Unrecognized request argument supplied: {name}")
        if body.get("model") != NAME:
            return error(404, f"The model `{body.get('model')}` does not exist", code="model_not_found")
        chat = asked.path.endswith("/chat/completions")
        ids = self.tokenizer.chat_ids(body["messages"]) if chat else body["prompt"]
        limit = body.get("max_completion_tokens") or body["max_tokens"]
        stop = self.stop | frozenset(body.get("stop_token_ids", ()))
        seeds = tuple(body.get("seed", 0) + place for place in range(body.get("n", 1)))
        with self.lock:
            params = SamplingParams(limit, body.get("temperature", 1.0), stop)
            found = self.engine.sample([Request(tuple(ids), seeds)], params)[0]
        choices = []
        for place, one in enumerate(found):
            text = completion_text(one, self.tokenizer)
            choice: dict[str, Any] = {"index": place, "finish_reason": one.finish, "logprobs": None}
            choice |= {"message": {"role": "assistant", "content": text, "refusal": None}} if chat else {"text": text}
            if body.get("return_token_ids"):
                choice["token_ids"] = list(one.ids)
            if body.get("logprobs") and chat:
                choice["logprobs"] = {"content": [{"token": "?", "logprob": value} for value in one.logprobs]}
            elif body.get("logprobs"):
                choice["logprobs"] = {"token_logprobs": list(one.logprobs)}
            choices.append(choice)
        written = sum(len(one.ids) for one in found)
        usage = {"prompt_tokens": len(ids), "completion_tokens": written, "total_tokens": len(ids) + written}
        return Reply(
            body={"object": "chat.completion" if chat else "text_completion", "choices": choices, "usage": usage}
        )


@contextmanager
def loopback(
    trouble: Trouble | None = None,
    model: Decoder | None = None,
    strict: Sequence[str] = (),
    stop: frozenset[int] = tiny_tokenizer().stop_ids,
) -> Iterator[Loopback]:
    """A server on a free port of 127.0.0.1, gone when the block ends.

    strict: parameters that it turns away. stop: ids that end its model's answers.
    """
    state = Loopback(trouble, model, strict, stop)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            pass

        def do_POST(self) -> None:
            content = json.loads(self.rfile.read(int(self.headers["content-length"])))
            asked = Asked(
                self.path, {name.lower(): value for name, value in self.headers.items()}, content, time.monotonic()
            )
            with state.lock:
                before = len(state.asked)
                state.asked.append(asked)
                state.under_way += 1
                state.most = max(state.most, state.under_way)
            try:
                self._reply((state.trouble and state.trouble(asked, before)) or state.answer(asked))
            except OSError:
                self.close_connection = True  # the client had enough
            finally:
                with state.lock:
                    state.under_way -= 1

        def _reply(self, reply: Reply) -> None:
            state.closing.wait(reply.hang)
            payload = json.dumps(reply.body).encode() if reply.raw is None else reply.raw
            self.send_response(reply.status)
            for name, value in reply.headers.items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(payload) + 1000 * reply.cut))
            self.end_headers()
            self.wfile.write(payload)
            if reply.cut:
                self.close_connection = True

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    state.address = f"http://127.0.0.1:{server.server_port}/v1"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield state
    finally:
        state.closing.set()
        server.shutdown()
        thread.join()
        server.server_close()
