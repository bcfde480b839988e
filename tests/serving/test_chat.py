"""Chat through the official client, on a tiny random model."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import openai
import pytest

from tests.serving.live import client, tiny_server
from tests.tiny import tiny_model, tiny_tokenizer
from whetstone.engine.engine import Engine
from whetstone.engine.protocol import Request, SamplingParams
from whetstone.serving.server import Background

ASK = [{"role": "user", "content": "12+34?"}]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Background]:
    with tiny_server(tmp_path_factory.mktemp("served")) as server:
        yield server


@pytest.fixture
def api(running: Background) -> openai.OpenAI:
    return client(running)


def alone(text: str, tokens: int, seed: int = 0, temperature: float = 0.0) -> str:
    """What the engine says without a server."""
    tokenizer = tiny_tokenizer()
    request = Request(tuple(tokenizer.chat_ids([{"role": "user", "content": text}])), (seed,))
    params = SamplingParams(tokens, temperature, tokenizer.stop_ids)
    (((completion,),)) = Engine(tiny_model(), cache_bytes=16 << 20).sample([request], params)
    return tokenizer.decode(completion.ids)


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_an_answer_is_the_engines_own(api: openai.OpenAI, temperature: float) -> None:
    answer = api.chat.completions.create(model="tiny", messages=ASK, max_tokens=24, temperature=temperature, seed=7)
    assert answer.choices[0].message.content == alone("12+34?", 24, 7, temperature)
    assert answer.choices[0].message.role == "assistant"
    assert answer.usage is not None
    assert answer.usage.prompt_tokens == len(tiny_tokenizer().chat_ids(ASK))
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens


def test_a_stream_says_the_same(api: openai.OpenAI) -> None:
    asked = dict(model="tiny", messages=ASK, max_tokens=24, temperature=1, seed=3, n=3)
    whole = api.chat.completions.create(**asked)
    texts = {0: "", 1: "", 2: ""}
    finishes = {}
    usages = []
    for chunk in api.chat.completions.create(**asked, stream=True, stream_options={"include_usage": True}):
        usages.append(chunk.usage)
        for choice in chunk.choices:
            texts[choice.index] += choice.delta.content or ""
            finishes[choice.index] = choice.finish_reason or finishes.get(choice.index)
    assert texts == {choice.index: choice.message.content for choice in whole.choices}
    assert finishes == {choice.index: choice.finish_reason for choice in whole.choices}
    assert len(set(texts.values())) == 3
    assert usages[:-1] == [None] * (len(usages) - 1)
    assert whole.usage is not None and usages[-1] is not None
    assert usages[-1].completion_tokens == whole.usage.completion_tokens


def test_the_asynchronous_client(running: Background) -> None:
    async def ask() -> list[str]:
        async with openai.AsyncOpenAI(base_url=f"{running.url}/v1", api_key="none", max_retries=0) as api:
            texts = [f"{n}+1?" for n in range(8)]

            async def one(text: str) -> str:
                message = {"role": "user", "content": text}
                stream = await api.chat.completions.create(
                    model="tiny", messages=[message], max_tokens=16, temperature=0, stream=True
                )
                return "".join([chunk.choices[0].delta.content or "" async for chunk in stream])

            return await asyncio.gather(*map(one, texts))

    assert asyncio.run(ask()) == [alone(f"{n}+1?", 16) for n in range(8)]
