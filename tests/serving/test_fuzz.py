"""Whatever JSON comes, the answer is the model's or an error of the client's: never one of ours."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.serving.live import HTTP, leaks, tiny_server, until
from whetstone.serving.limits import Limits
from whetstone.serving.server import Background

MESSAGES = [{"role": "user", "content": "hi"}]
TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}
FORMAT = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "array", "maxItems": 2}}}
WHOLE: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": {
        "model": "tiny",
        "messages": MESSAGES,
        "temperature": 1,
        "top_p": 0.9,
        "n": 2,
        "stop": ["a"],
        "seed": 1,
        "logprobs": True,
        "top_logprobs": 2,
        "logit_bias": {"7": 1},
        "stream": True,
        "stream_options": {"include_usage": True},
        "tools": [TOOL],
        "tool_choice": "auto",
        "response_format": FORMAT,
        "top_k": 5,
        "min_p": 0.1,
        "repetition_penalty": 1.1,
        "presence_penalty": 0.1,
        "frequency_penalty": 0.1,
        "chat_template_kwargs": {"a": 1},
        "reasoning_effort": "low",
        "return_token_ids": True,
        "parallel_tool_calls": False,
    },
    "/v1/completions": {
        "model": "tiny",
        "prompt": "hi",
        "logprobs": 1,
        "stop_token_ids": [8],
        "max_tokens": 3,
        "ignore_eos": True,
        "best_of": 1,
    },
    "/v1/embeddings": {"model": "tiny", "input": ["a", "b"], "encoding_format": "float"},
    "/v1/load_lora_adapter": {"lora_name": "a", "lora_path": "nowhere"},
}
numbers = st.integers(-(2**70), 2**70) | st.integers(-3, 3) | st.floats(allow_nan=False, allow_infinity=False)
leaves = st.none() | st.booleans() | numbers | st.text(max_size=8) | st.sampled_from(["tiny", "auto", "user", "text"])
anything = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["type", "role", "content", "name", "schema", "items", "enum"]) | st.text(max_size=5),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@pytest.fixture(scope="module")
def fuzzed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Background]:
    with tiny_server(tmp_path_factory.mktemp("fuzzed"), limits=Limits(answer_tokens=4)) as server:
        yield server


@st.composite
def nearly(draw: st.DrawFn, path: str) -> Any:
    """A request with some fields of a good one, and some that hold anything, at any depth."""
    whole = WHOLE[path]
    kept = set(draw(st.lists(st.sampled_from(sorted(whole))))) | draw(st.sampled_from([{"model"}, {*list(whole)[:2]}]))
    request: Any = {name: value for name, value in whole.items() if name in kept}
    for name in draw(st.lists(st.sampled_from(sorted(whole)), max_size=2)):
        request[name] = draw(anything) if draw(st.booleans()) else _changed(draw, whole[name])
    return request


def _changed(draw: st.DrawFn, value: Any) -> Any:
    """The value with something inside it replaced."""
    if isinstance(value, dict) and value:
        name = draw(st.sampled_from(sorted(value)))
        return value | {name: _changed(draw, value[name])}
    if isinstance(value, list) and value:
        return [_changed(draw, value[0]), *value[1:]]
    return draw(anything)


def check(running: Background, path: str, request: Any) -> None:
    response = HTTP.post(running.url + path, json=request)
    expected = {200, 400, 404} if path != "/v1/load_lora_adapter" else {403}
    assert response.status_code in expected, (request, response.text)
    if response.status_code == 200 and "event-stream" in response.headers["content-type"]:
        assert response.text.endswith("data: [DONE]\n\n"), (request, response.text)
    elif response.status_code != 200:
        assert response.json()["error"]["message"], request


LEVEL = settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
MANY = settings(LEVEL, max_examples=1000)


@pytest.mark.parametrize("path", sorted(WHOLE))
@LEVEL
@given(data=st.data())
def test_any_json(fuzzed: Background, path: str, data: st.DataObject) -> None:
    check(fuzzed, path, data.draw(anything))


@pytest.mark.parametrize("path", sorted(WHOLE))
@LEVEL
@given(data=st.data())
def test_nearly_good_requests(fuzzed: Background, path: str, data: st.DataObject) -> None:
    check(fuzzed, path, data.draw(nearly(path)))


@LEVEL
@given(content=st.binary(max_size=200), path=st.sampled_from(sorted(WHOLE)))
def test_any_bytes(fuzzed: Background, content: bytes, path: str) -> None:
    response = HTTP.post(fuzzed.url + path, content=content)
    assert response.status_code in (400, 403)


@pytest.mark.slow
@pytest.mark.parametrize("path", sorted(WHOLE))
@MANY
@given(data=st.data())
def test_many_nearly_good_requests(fuzzed: Background, path: str, data: st.DataObject) -> None:
    check(fuzzed, path, data.draw(nearly(path)))


def test_nothing_is_left(fuzzed: Background) -> None:
    until(lambda: leaks(fuzzed) == [])
