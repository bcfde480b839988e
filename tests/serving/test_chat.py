"""Chat through the official client, on a tiny random model."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import openai
import pytest

from tests.serving.live import alone, byte_tokenizer, post, text_of
from whetstone.serving.server import Background

ASK: list[Any] = [{"role": "user", "content": "12+34?"}]
SCHEMA = {
    "type": "object",
    "properties": {"digit": {"enum": [1, 2, 3]}, "flag": {"type": "boolean"}},
    "required": ["digit", "flag"],
    "additionalProperties": False,
}


def call_schema(name: str) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, "description": "d", "parameters": SCHEMA}}


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_an_answer_is_the_engines_own(api: openai.OpenAI, temperature: float) -> None:
    answer = api.chat.completions.create(model="tiny", messages=ASK, max_tokens=24, temperature=temperature, seed=7)
    assert answer.choices[0].message.content == text_of(alone("12+34?", 24, 7, temperature))
    assert answer.choices[0].message.role == "assistant"
    assert answer.usage is not None
    assert answer.usage.prompt_tokens == len(byte_tokenizer().chat_ids(ASK))
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens


def test_a_stream_says_the_same(api: openai.OpenAI) -> None:
    asked: Any = dict(model="tiny", messages=ASK, max_tokens=24, temperature=1, seed=3, n=3)
    whole = api.chat.completions.create(**asked)
    texts = {0: "", 1: "", 2: ""}
    finishes: dict[int, str | None] = {}
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

            async def one(text: str) -> str:
                stream = await api.chat.completions.create(
                    model="tiny",
                    messages=[{"role": "user", "content": text}],
                    max_tokens=16,
                    temperature=0,
                    stream=True,
                )
                return "".join([chunk.choices[0].delta.content or "" async for chunk in stream])

            return await asyncio.gather(*[one(f"{n}+1?") for n in range(8)])

    assert asyncio.run(ask()) == [text_of(alone(f"{n}+1?", 16)) for n in range(8)]


def test_a_stop_string_ends_the_answer_and_the_work(api: openai.OpenAI) -> None:
    text = text_of(alone("12+34?", 60))
    stop = text[20:23]
    expected = text[: text.index(stop)]
    asked: Any = dict(model="tiny", messages=ASK, max_tokens=60, temperature=0, stop=["never there", stop])
    answer = api.chat.completions.create(**asked)
    assert answer.choices[0].message.content == expected
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage is not None and answer.usage.completion_tokens < 60
    chunks = list(api.chat.completions.create(**asked, stream=True))
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == expected


def test_stop_token_ids_and_the_end_mark(api: openai.OpenAI) -> None:
    completion = alone("12+34?", 60)
    stop = completion.ids[10]
    first = completion.ids.index(stop)
    answer = api.chat.completions.create(
        model="tiny",
        messages=ASK,
        max_tokens=60,
        temperature=0,
        extra_body={"stop_token_ids": [stop], "return_token_ids": True},
    )
    assert answer.choices[0].finish_reason == "stop"
    assert answer.choices[0].message.content == byte_tokenizer().decode(completion.ids[:first])
    assert answer.choices[0].model_dump()["token_ids"] == list(completion.ids[: first + 1])


def test_seeds(api: openai.OpenAI) -> None:
    def ask(seed: int | None) -> list[str | None]:
        answer = api.chat.completions.create(model="tiny", messages=ASK, max_tokens=16, seed=seed, n=2)
        return [choice.message.content for choice in answer.choices]

    assert ask(5) == ask(5)
    assert len({*ask(5), *ask(6), *ask(-1), *ask(None), *ask(None)}) == 10


def test_logprobs_are_the_models_own(api: openai.OpenAI) -> None:
    asked: Any = dict(model="tiny", messages=ASK, max_tokens=12, temperature=0.5, seed=4, logprobs=True, top_logprobs=3)
    answer = api.chat.completions.create(**asked)
    expected = alone("12+34?", 12, 4, 0.5, top_logprobs=3)
    assert answer.choices[0].logprobs is not None
    content = answer.choices[0].logprobs.content
    assert content is not None and len(content) == 12
    assert [entry.logprob for entry in content] == pytest.approx([top.chosen for top in expected.top], abs=1e-5)
    assert [[each.logprob for each in entry.top_logprobs] for entry in content] == [
        pytest.approx(top.logprobs, abs=1e-5) for top in expected.top
    ]
    assert b"".join(bytes(entry.bytes or []) for entry in content).decode("utf-8", "replace") == text_of(expected)
    streamed = [
        entry.logprob
        for chunk in api.chat.completions.create(**asked, stream=True)
        for choice in chunk.choices
        if choice.logprobs is not None
        for entry in choice.logprobs.content or []
    ]
    assert streamed == [entry.logprob for entry in content]


def test_the_parameters_reach_the_sampler(api: openai.OpenAI) -> None:
    expected = alone("12+34?", 20, 9, 0.8, top_k=5, top_p=0.9, min_p=0.05, repetition_penalty=1.3, logit_bias={70: 4.0})
    answer = api.chat.completions.create(
        model="tiny",
        messages=ASK,
        max_completion_tokens=20,
        temperature=0.8,
        seed=9,
        top_p=0.9,
        logit_bias={"70": 4},
        extra_body={"top_k": 5, "min_p": 0.05, "repetition_penalty": 1.3},
    )
    assert answer.choices[0].message.content == text_of(expected)


@pytest.mark.parametrize("stream", [False, True])
def test_structured_output_fits_its_schema(running: Background, stream: bool) -> None:
    for seed in range(6):
        asked = {
            "model": "tiny",
            "messages": ASK,
            "seed": seed,
            "max_tokens": 300,
            "stream": stream,
            "response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": SCHEMA, "strict": True}},
        }
        response = post(running, "/v1/chat/completions", asked)
        assert response.status_code == 200, response.text
        if stream:
            events = [line.removeprefix("data: ") for line in response.text.splitlines() if line]
            assert events.pop() == "[DONE]"
            text = "".join(json.loads(each)["choices"][0]["delta"].get("content", "") for each in events)
        else:
            assert response.json()["choices"][0]["finish_reason"] == "stop"
            text = response.json()["choices"][0]["message"]["content"]
        value = json.loads(text)
        assert value["digit"] in (1, 2, 3) and isinstance(value["flag"], bool) and len(value) == 2


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("choice", "names"),
    [("required", {"one", "two"}), ({"type": "function", "function": {"name": "two"}}, {"two"})],
)
def test_a_forced_call_is_valid(running: Background, stream: bool, choice: Any, names: set[str]) -> None:
    for seed in range(4):
        asked = {
            "model": "tiny",
            "messages": ASK,
            "seed": seed,
            "max_tokens": 400,
            "tools": [call_schema("one"), call_schema("two")],
            "tool_choice": choice,
            "stream": stream,
        }
        response = post(running, "/v1/chat/completions", asked)
        assert response.status_code == 200, response.text
        if stream:
            events = [json.loads(line[6:]) for line in response.text.splitlines() if line and line != "data: [DONE]"]
            choices = [event["choices"][0] for event in events]
            calls = [call for each in choices for call in each["delta"].get("tool_calls", [])]
            assert calls[0].pop("index") == 0
            finish = choices[-1]["finish_reason"]
        else:
            (each,) = response.json()["choices"]
            calls, finish = each["message"]["tool_calls"], each["finish_reason"]
            assert each["message"]["content"] is None
        assert finish == "tool_calls"
        (call,) = calls
        assert call["type"] == "function" and call["id"].startswith("call_")
        assert call["function"]["name"] in names
        arguments = json.loads(call["function"]["arguments"])
        assert arguments["digit"] in (1, 2, 3) and isinstance(arguments["flag"], bool)


def test_the_history_of_a_tool_call_reaches_the_prompt(running: Background) -> None:
    called = {"id": "call_1", "type": "function", "function": {"name": "one", "arguments": '{"digit": 2}'}}
    messages = [
        *ASK,
        {"role": "assistant", "content": None, "tool_calls": [called]},
        {"role": "tool", "tool_call_id": "call_1", "content": "seventeen"},
    ]
    asked = {
        "model": "tiny",
        "messages": messages,
        "max_tokens": 1,
        "tools": [call_schema("one")],
        "return_token_ids": True,
    }
    answer = post(running, "/v1/chat/completions", asked).json()
    prompt = byte_tokenizer().decode(answer["prompt_token_ids"], keep_special=True)
    assert '{"name": "one", "arguments": {"digit": 2}}' in prompt
    assert "seventeen" in prompt and '"enum": [1, 2, 3]' in prompt


def test_a_prompt_seen_before_is_cached(api: openai.OpenAI) -> None:
    asked: Any = dict(model="tiny", messages=[{"role": "user", "content": "cached? " * 20}], max_tokens=1)
    api.chat.completions.create(**asked)
    usage = api.chat.completions.create(**asked).usage
    assert usage is not None and usage.prompt_tokens_details is not None
    assert usage.prompt_tokens_details.cached_tokens == (usage.prompt_tokens - 1) // 16 * 16


def test_token_ids_in_a_stream(running: Background) -> None:
    asked = {
        "model": "tiny",
        "messages": ASK,
        "max_tokens": 20,
        "seed": 2,
        "return_token_ids": True,
        "logprobs": True,
    }
    whole = post(running, "/v1/chat/completions", asked).json()
    response = post(running, "/v1/chat/completions", asked | {"stream": True})
    events = [json.loads(line[6:]) for line in response.text.splitlines() if line and line != "data: [DONE]"]
    choices = [event["choices"][0] for event in events]
    (expected,) = whole["choices"]
    for name in ("token_ids", "sampled_logprobs"):
        assert [each for choice in choices for each in choice.get(name, [])] == expected[name]
    assert events[0]["prompt_token_ids"] == whole["prompt_token_ids"]
    assert choices[-1]["weight_version"] == expected["weight_version"] == 0
    assert expected["token_ids"] == list(alone("12+34?", 20, 2, 1.0).ids)
    assert len(expected["logprobs"]["content"]) == len(expected["token_ids"])
