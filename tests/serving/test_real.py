"""The real SmolLM2-135M-Instruct through the official client."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import openai
import pytest
import torch

from tests.serving.live import client, leaks, until
from whetstone.engine.engine import Engine
from whetstone.serving.server import Background, Server, Settings
from whetstone.tasks.answers import read_general

pytestmark = pytest.mark.real
MODEL = "smollm2-135m"
FRANCE: list[Any] = [{"role": "user", "content": "What is the capital of France?"}]
WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather in a city",
        "parameters": {
            "type": "object",
            "properties": {
                "city": {"type": "string", "maxLength": 20},
                "unit": {"$ref": "#/$defs/Unit"},
            },
            "required": ["city", "unit"],
            "additionalProperties": False,
            "$defs": {"Unit": {"enum": ["celsius", "fahrenheit"]}},
        },
    },
}
ADD = {
    "type": "function",
    "function": {
        "name": "add",
        "description": "Adds two numbers",
        "parameters": {
            "type": "object",
            "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}},
            "required": ["a", "b"],
            "additionalProperties": False,
        },
    },
}


@pytest.fixture(scope="module")
def served() -> Iterator[Background]:
    server = Server(
        [MODEL], settings=Settings(port=0), make_engine=lambda loaded: Engine(loaded.model, cache_bytes=1 << 30)
    )
    with Background(server) as running:
        yield running
    assert leaks(running) == []


@pytest.fixture
def real(served: Background) -> openai.OpenAI:
    return client(served)


def test_a_conversation(real: openai.OpenAI) -> None:
    assert [model.id for model in real.models.list()] == [MODEL]
    asked: Any = dict(model=MODEL, messages=FRANCE, temperature=0, max_tokens=20)
    answer = real.chat.completions.create(**asked)
    assert answer.choices[0].message.content == "The capital of France is Paris."
    assert answer.choices[0].finish_reason == "stop"
    chunks = list(real.chat.completions.create(**asked, stream=True))
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == "The capital of France is Paris."
    assert len(chunks) > 5
    stopped = real.chat.completions.create(**asked, stop=[" is"])
    assert stopped.choices[0].message.content == "The capital of France"


def test_logprobs(real: openai.OpenAI) -> None:
    answer = real.chat.completions.create(
        model=MODEL, messages=FRANCE, temperature=0, max_tokens=20, logprobs=True, top_logprobs=4
    )
    assert answer.choices[0].logprobs is not None
    content = answer.choices[0].logprobs.content or []
    assert "".join(entry.token for entry in content) == "The capital of France is Paris."
    for entry in content:
        assert entry.logprob == max(other.logprob for other in entry.top_logprobs)
        assert len(entry.top_logprobs) == 4
        assert bytes(entry.bytes or []).decode() == entry.token


def test_seeds_and_several_choices(real: openai.OpenAI) -> None:
    def ask(seed: int) -> list[str | None]:
        answer = real.chat.completions.create(model=MODEL, messages=FRANCE, seed=seed, n=3, max_tokens=12)
        return [choice.message.content for choice in answer.choices]

    first = ask(1)
    assert ask(1) == first and ask(2) != first and len(set(first)) > 1


def test_forced_calls_are_valid(real: openai.OpenAI) -> None:
    tools: Any = [WEATHER, ADD]
    named: Any = {"type": "function", "function": {"name": "add"}}
    for choice, names in (("required", {"get_weather", "add"}), (named, {"add"})):
        answer = real.chat.completions.create(
            model=MODEL, messages=FRANCE, tools=tools, tool_choice=choice, max_tokens=80, temperature=0
        )
        assert answer.choices[0].finish_reason == "tool_calls"
        (call,) = answer.choices[0].message.tool_calls or []
        assert call.type == "function" and call.function.name in names
        arguments = json.loads(call.function.arguments)
        if call.function.name == "add":
            assert {type(value) for value in arguments.values()} == {int} and set(arguments) == {"a", "b"}
        else:
            assert arguments["unit"] in ("celsius", "fahrenheit") and len(arguments["city"]) <= 20


def test_structured_output_is_always_valid(real: openai.OpenAI) -> None:
    schema = {
        "type": "object",
        "properties": {
            "name": {"type": "string", "maxLength": 12},
            "age": {"type": "integer", "minimum": 0, "maximum": 120},
            "tags": {"type": "array", "items": {"enum": ["a", "b"]}, "maxItems": 2},
        },
        "required": ["name", "age", "tags"],
        "additionalProperties": False,
    }
    answer = real.chat.completions.create(
        model=MODEL,
        messages=[{"role": "user", "content": "Describe a person."}],
        response_format={"type": "json_schema", "json_schema": {"name": "person", "schema": schema, "strict": True}},
        n=12,
        max_tokens=120,
        seed=1,
    )
    for choice in answer.choices:
        assert choice.finish_reason == "stop", choice
        value = json.loads(choice.message.content or "")
        assert set(value) == {"name", "age", "tags"} and len(value["name"]) <= 12
        assert 0 <= value["age"] <= 120 and len(value["tags"]) <= 2 and set(value["tags"]) <= {"a", "b"}


def test_embeddings_are_those_of_transformers(served: Background, real: openai.OpenAI) -> None:
    import transformers

    folder = str(served.server.state.models.get(MODEL).loaded.folder)
    model = transformers.AutoModel.from_pretrained(folder, dtype=torch.float32)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    texts = ["The cat sat on the mat.", "A dog."]
    answer = real.embeddings.create(model=MODEL, input=texts)
    for text, found in zip(texts, answer.data, strict=True):
        with torch.no_grad():
            hidden = model(**tokenizer(text, return_tensors="pt")).last_hidden_state[0]
        mean = hidden.mean(0).double().numpy()
        np.testing.assert_allclose(found.embedding, mean / np.linalg.norm(mean), atol=1e-4)


def test_many_streams_at_once(served: Background) -> None:
    questions = [f"What is {n} plus {n}?" for n in range(8)]

    async def all_at_once() -> list[str]:
        async with openai.AsyncOpenAI(base_url=f"{served.url}/v1", api_key="none", max_retries=0) as api:

            async def one(question: str) -> str:
                message: Any = {"role": "user", "content": question}
                stream = await api.chat.completions.create(
                    model=MODEL, messages=[message], temperature=0, max_tokens=12, stream=True
                )
                return "".join([chunk.choices[0].delta.content or "" async for chunk in stream])

            return await asyncio.gather(*map(one, questions))

    together = asyncio.run(all_at_once())
    for question, text in zip(questions[:3], together, strict=False):
        message: Any = {"role": "user", "content": question}
        alone = client(served).chat.completions.create(model=MODEL, messages=[message], temperature=0, max_tokens=12)
        assert alone.choices[0].message.content == text
    until(lambda: leaks(served) == [])


def test_a_vote(real: openai.OpenAI) -> None:
    asked: Any = dict(model=f"{MODEL}@consistency-5:t=0.5", max_tokens=24, seed=3)
    question: Any = [{"role": "user", "content": "What is 2 plus 3? Answer with the number only."}]
    answer = real.chat.completions.create(messages=question, **asked)
    extension = answer.model_dump()["whetstone"]
    assert extension["samples"] == 5 and 0 < extension["agreement"] <= 1
    assert read_general(answer.choices[0].message.content or "") == "5"
    chunks = list(real.chat.completions.create(messages=question, stream=True, **asked))
    said = "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)
    assert said == answer.choices[0].message.content
    assert answer.usage is not None and answer.usage.completion_tokens_details is not None
    assert 0 < (answer.usage.completion_tokens_details.reasoning_tokens or 0) < answer.usage.completion_tokens
