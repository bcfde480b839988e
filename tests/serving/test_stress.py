"""Many clients at once, some of them hostile: right statuses, right answers, nothing left behind."""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.serving.live import CACHE, byte_model, byte_tokenizer, leaks, tiny_server, until
from whetstone.engine.engine import Engine
from whetstone.engine.protocol import Request, SamplingParams
from whetstone.serving.limits import Limits

CONNECTIONS = 64
LONGEST = 40
CHAT, TEXT = "/v1/chat/completions", "/v1/completions"


def answers(count: int) -> dict[str, str]:
    """Greedy answers to prompts, each computed alone; only those in which no rounding could change a token."""
    tokenizer = byte_tokenizer()
    engine = Engine(byte_model(), cache_bytes=CACHE)
    params = SamplingParams(LONGEST, 0.0, tokenizer.stop_ids, top_logprobs=2)
    found: dict[str, str] = {}
    for number in range(10 * count):
        prompt = f"{number} is what? " * (1 + number % 4)
        (((completion,),)) = engine.sample([Request(tuple(tokenizer.encode(prompt)), (0,))], params)
        if min(top.logprobs[0] - top.logprobs[1] for top in completion.top) > 1e-3:
            found[prompt] = tokenizer.decode(completion.ids)
        if len(found) == count:
            return found
    raise AssertionError("the random model is never sure")


class Crowd:
    """Requests of every kind; each checks its own outcome."""

    def __init__(self, url: str, expected: dict[str, str], seed: int) -> None:
        self.url, self.expected = url, expected
        self.random = random.Random(seed)
        self.done: Counter[str] = Counter()
        self.kinds: list[tuple[int, Callable[[httpx.AsyncClient], Awaitable[None]]]] = [
            (6, self.stream),
            (4, self.whole),
            (3, self.leave_early),
            (2, self.give_up),
            (1, self.several),
            (1, self.embed),
            (1, self.too_large),
            (1, self.malformed),
            (1, self.bad_bytes),
            (1, self.deep_schema),
            (1, self.bad_tools),
            (1, self.unknown_model),
        ]

    async def run(self, requests: int) -> None:
        """So many requests, from CONNECTIONS connections."""
        weights, kinds = zip(*self.kinds, strict=True)
        queue = self.random.choices(kinds, weights, k=requests)

        async def worker(http: httpx.AsyncClient) -> None:
            while queue:
                await queue.pop()(http)

        limits = httpx.Limits(max_connections=CONNECTIONS)
        async with httpx.AsyncClient(base_url=self.url, timeout=120, verify=False, limits=limits) as http:
            await asyncio.gather(*[worker(http) for _ in range(CONNECTIONS)])

    def asked(self, **more: Any) -> tuple[str, dict[str, Any]]:
        prompt = self.random.choice(list(self.expected))
        asked = {"model": "tiny", "prompt": prompt, "max_tokens": LONGEST, "temperature": 0}
        return self.expected[prompt], asked | more

    async def post(self, http: httpx.AsyncClient, path: str, asked: Any) -> httpx.Response:
        """Posted until the queue has room."""
        while True:
            response = await http.post(path, json=asked)
            if response.status_code != 429:
                return response
            assert response.headers["retry-after"] == "1"
            self.done["429"] += 1
            await asyncio.sleep(0.1 * self.random.random())

    async def stream(self, http: httpx.AsyncClient) -> None:
        expected, asked = self.asked(stream=True, stream_options={"include_usage": True})
        response = await self.post(http, TEXT, asked)
        assert response.status_code == 200
        events = [line.removeprefix("data: ") for line in response.text.splitlines() if line]
        assert events.pop() == "[DONE]"
        chunks = [json.loads(event) for event in events]
        assert "".join(choice["text"] for chunk in chunks for choice in chunk["choices"]) == expected
        assert chunks[-1]["usage"]["completion_tokens"] <= LONGEST
        self.done["stream"] += 1

    async def whole(self, http: httpx.AsyncClient) -> None:
        expected, asked = self.asked(n=2)
        response = await self.post(http, TEXT, asked)
        assert [choice["text"] for choice in response.json()["choices"]] == [expected] * 2
        self.done["whole"] += 1

    async def several(self, http: httpx.AsyncClient) -> None:
        prompts = self.random.sample(list(self.expected), 3)
        response = await self.post(http, TEXT, self.asked()[1] | {"prompt": prompts})
        assert [choice["text"] for choice in response.json()["choices"]] == [self.expected[each] for each in prompts]
        self.done["several"] += 1

    async def leave_early(self, http: httpx.AsyncClient) -> None:
        """Read some of a long stream, then hang up."""
        asked = self.asked(stream=True, max_tokens=1500, ignore_eos=True)[1]
        wanted = self.random.randrange(6)
        async with http.stream("POST", TEXT, json=asked) as response:
            assert response.status_code in (200, 429)
            async for _ in response.aiter_lines():
                wanted -= 1
                if wanted <= 0:
                    break
        self.done["left"] += 1

    async def give_up(self, http: httpx.AsyncClient) -> None:
        """Wait a moment for a long answer, then hang up."""
        asked = self.asked(max_tokens=1500, ignore_eos=True)[1]
        try:
            response = await http.post(TEXT, json=asked, timeout=0.3 * self.random.random() + 0.01)
            assert response.status_code == 429
        except httpx.TimeoutException:
            self.done["gave up"] += 1

    async def embed(self, http: httpx.AsyncClient) -> None:
        response = await self.post(http, "/v1/embeddings", {"model": "tiny", "input": ["a" * 100, "b"]})
        assert [len(each["embedding"]) for each in response.json()["data"]] == [32, 32]
        self.done["embedded"] += 1

    async def refused(self, response: httpx.Response, status: int, kind: str) -> None:
        assert response.status_code == status, response.text
        assert response.json()["error"]["message"]
        self.done[kind] += 1

    async def too_large(self, http: httpx.AsyncClient) -> None:
        await self.refused(await http.post(TEXT, content=b"x" * 100_001), 413, "too large")

    async def malformed(self, http: httpx.AsyncClient) -> None:
        whole = json.dumps(self.asked()[1]).encode()
        cut = whole[: self.random.randrange(1, len(whole))]
        await self.refused(await http.post(TEXT, content=cut), 400, "malformed")

    async def bad_bytes(self, http: httpx.AsyncClient) -> None:
        whole = json.dumps(self.asked()[1]).encode().replace(b"what", b"wh\xfft")
        await self.refused(await http.post(CHAT, content=whole), 400, "bad bytes")

    async def deep_schema(self, http: httpx.AsyncClient) -> None:
        schema: dict[str, Any] = {}
        for _ in range(self.random.randrange(40, 60)):
            schema = {"items": schema}
        asked = {
            "model": "tiny",
            "messages": [{"role": "user", "content": "x"}],
            "response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}},
        }
        await self.refused(await http.post(CHAT, json=asked), 400, "deep schema")

    async def bad_tools(self, http: httpx.AsyncClient) -> None:
        tool = self.random.choice([5, {}, {"type": "function"}, {"type": "function", "function": {"name": "a b"}}])
        asked = {"model": "tiny", "messages": [{"role": "user", "content": "x"}], "tools": [tool]}
        await self.refused(await http.post(CHAT, json=asked), 400, "bad tools")

    async def unknown_model(self, http: httpx.AsyncClient) -> None:
        await self.refused(await http.post(TEXT, json=self.asked(model="other")[1]), 404, "unknown model")


def stress(folder: Path, requests: int, seed: int) -> None:
    expected = answers(12)
    # a cache in which not all requests fit, so that branches are pushed out and come back; a queue that fills
    limits = Limits(queue=48, body_bytes=100_000)
    with tiny_server(folder, cache_bytes=256 << 10, limits=limits) as running:
        state = running.server.state
        crowd = Crowd(running.url, expected, seed)
        asyncio.run(crowd.run(requests))
        until(lambda: leaks(running) == [])
        assert len(crowd.done - Counter({"429": crowd.done["429"]})) >= 12, crowd.done
        assert not any(status >= 500 for _, status in state.responses), state.responses
        assert httpx.get(running.url + "/health").json() == {"status": "ok"}
        assert state.disconnects > 0
        assert state.models.get("tiny").engine.stats.preemptions > 0
        asyncio.run(crowd.run(1))


def test_a_crowd(tmp_path: Path) -> None:
    stress(tmp_path, 150, seed=1)


@pytest.mark.slow
def test_a_large_crowd(tmp_path: Path) -> None:
    stress(tmp_path, 1000, seed=2)
