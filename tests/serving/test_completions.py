"""Completions: text or ids in, text or ids out."""

from __future__ import annotations

import json
from typing import Any

import openai
import pytest

from tests.serving.live import alone, byte_tokenizer, post, text_of
from whetstone.serving.server import Background

PROMPT = [50, 60, 70, 80, 90]


def test_token_in_token_out_is_exact(running: Background) -> None:
    """What reinforcement learning needs: the engine's own ids and log-probabilities, and whose weights they are of."""
    asked = {
        "model": "tiny",
        "prompt": PROMPT,
        "max_tokens": 24,
        "temperature": 0.7,
        "seed": 11,
        "logprobs": 1,
        "return_token_ids": True,
    }
    expected = alone(PROMPT, 24, 11, 0.7, top_logprobs=1)
    (choice,) = post(running, "/v1/completions", asked).json()["choices"]
    assert choice["token_ids"] == list(expected.ids)
    assert choice["prompt_token_ids"] == PROMPT
    assert choice["sampled_logprobs"] == pytest.approx(expected.logprobs, abs=1e-5)
    assert choice["logprobs"]["token_logprobs"] == pytest.approx([top.chosen for top in expected.top], abs=1e-5)
    assert choice["weight_version"] == expected.weight_version
    assert choice["text"] == text_of(expected)


@pytest.mark.parametrize("logprobs", [None, 0, 2])
def test_a_stream_says_the_same(running: Background, logprobs: int | None) -> None:
    asked: dict[str, Any] = {"model": "tiny", "prompt": PROMPT, "max_tokens": 24, "seed": 1, "return_token_ids": True}
    if logprobs is not None:
        asked["logprobs"] = logprobs
    (whole,) = post(running, "/v1/completions", asked).json()["choices"]
    response = post(running, "/v1/completions", asked | {"stream": True})
    assert response.headers["content-type"].startswith("text/event-stream")
    events = [json.loads(line[6:]) for line in response.text.splitlines() if line and line != "data: [DONE]"]
    parts = [event["choices"][0] for event in events]
    for name in ("text", "token_ids", "sampled_logprobs"):
        joined = [each for part in parts for each in part[name]]
        assert joined == list(whole[name])
    if logprobs is not None:
        for name in ("tokens", "token_logprobs", "text_offset"):
            assert [each for part in parts for each in part["logprobs"][name]] == whole["logprobs"][name]
    assert parts[-1]["finish_reason"] == whole["finish_reason"]


def test_several_prompts_and_choices_keep_their_order(api: openai.OpenAI) -> None:
    prompts = ["first", "second", "third"]
    answer = api.completions.create(model="tiny", prompt=prompts, n=2, max_tokens=10, temperature=0)
    assert [choice.index for choice in answer.choices] == list(range(6))
    for place, prompt in enumerate(prompts):
        expected = text_of(alone(byte_tokenizer().encode(prompt), 10))
        assert [choice.text for choice in answer.choices[2 * place : 2 * place + 2]] == [expected] * 2
    assert answer.usage is not None
    assert answer.usage.prompt_tokens == sum(map(len, prompts)) and answer.usage.completion_tokens == 60


def test_sixteen_tokens_unless_told_otherwise(api: openai.OpenAI) -> None:
    answer = api.completions.create(model="tiny", prompt="x", temperature=0, extra_body={"ignore_eos": True})
    assert answer.usage is not None and answer.usage.completion_tokens == 16
    assert answer.choices[0].finish_reason == "length"


def test_the_end_mark_is_among_the_ids_only(running: Background) -> None:
    (end,) = byte_tokenizer().stop_ids
    asked = {
        "model": "tiny",
        "prompt": PROMPT,
        "max_tokens": 5,
        "logit_bias": {str(end): 100},
        "logprobs": 0,
    }
    (plain,) = post(running, "/v1/completions", asked).json()["choices"]
    assert plain["text"] == "" and plain["finish_reason"] == "stop" and plain["logprobs"]["tokens"] == []
    (with_ids,) = post(running, "/v1/completions", asked | {"return_token_ids": True}).json()["choices"]
    assert with_ids["token_ids"] == [end] and with_ids["logprobs"]["tokens"] == ["<|end|>"]
    (further,) = post(running, "/v1/completions", asked | {"ignore_eos": True}).json()["choices"]
    assert further["finish_reason"] == "length"
