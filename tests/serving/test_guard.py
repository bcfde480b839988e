"""Who may ask, how much they may send, and what is refused with which status."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any

import httpx
import openai
import pytest

from tests.serving.live import client, post, tiny_server
from whetstone.errors import UsageError
from whetstone.serving.binding import host_name, is_loopback
from whetstone.serving.guard import Keys
from whetstone.serving.limits import Limits
from whetstone.serving.server import Background, Server, Settings

CHAT = "/v1/chat/completions"
ASK: dict[str, Any] = {"model": "tiny", "messages": [{"role": "user", "content": "1?"}], "max_tokens": 2}
LIMITS = Limits(body_bytes=20_000, messages=5, tools=3, choices=4, prompts=3, answer_tokens=50, schema_depth=6)


@pytest.fixture(scope="module")
def locked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Background]:
    """A server with keys, small limits, one more host name and one web page that may ask."""
    with tiny_server(
        tmp_path_factory.mktemp("locked"),
        keys=("secret-1", "secret-2"),
        limits=LIMITS,
        allowed_hosts=("models.example",),
        allowed_origins=("https://page.example",),
    ) as server:
        yield server


def key(name: str = "secret-1") -> dict[str, str]:
    return {"authorization": f"Bearer {name}"}


def error(response: httpx.Response, status: int, code: str | None = None) -> dict[str, Any]:
    """The error in a response, which must have OpenAI's shape."""
    assert response.status_code == status, response.text
    (found,) = response.json().values()
    assert set(found) == {"message", "type", "param", "code"}
    assert "\n" not in found["message"]
    if code is not None:
        assert found["code"] == code, found
    return found


@pytest.mark.parametrize(
    "given",
    [{}, key("secret-3"), key("secret-1x"), {"authorization": "secret-1"}, {"authorization": b"Bearer s\xc3\xa9cret"}],
)
def test_no_answer_without_a_key(locked: Background, given: Any) -> None:
    response = post(locked, CHAT, ASK, headers=given)
    error(response, 401, "invalid_api_key")
    assert response.headers["www-authenticate"] == "Bearer"
    for path in ("/v1/models", "/metrics"):
        error(httpx.get(locked.url + path, headers=given), 401)
    assert httpx.get(locked.url + "/health", headers=given).json() == {"status": "ok"}


def test_every_key_fits(locked: Background) -> None:
    for name in ("secret-1", "secret-2"):
        assert post(locked, CHAT, ASK, headers=key(name)).status_code == 200
        assert [model.id for model in client(locked, name).models.list()] == ["tiny"]
    with pytest.raises(openai.AuthenticationError):
        client(locked, "none").models.list()


def test_keys_are_compared_whole() -> None:
    assert Keys(["abc"]).fit("abc")
    assert not any(Keys(["abc"]).fit(wrong) for wrong in ("", "ab", "abcd", "ABC"))
    assert not Keys([]) and not Keys([]).fit("")


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example", "", "[::2]:80"])
def test_a_rebound_name_is_turned_away(running: Background, host: str) -> None:
    error(httpx.get(f"{running.url}/v1/models", headers={"host": host}), 403, "host_not_allowed")


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST:1234", "127.0.0.1", "127.8.9.1:80", "[::1]:8000", "a.localhost"]
)
def test_names_of_this_machine_are_let_in(running: Background, host: str) -> None:
    assert httpx.get(f"{running.url}/v1/models", headers={"host": host}).status_code == 200


def test_a_further_host_name(locked: Background) -> None:
    assert httpx.get(f"{locked.url}/health", headers={"host": "Models.example:443"}).status_code == 200
    error(httpx.get(f"{locked.url}/health", headers={"host": "other.example"}), 403)


def test_names_of_hosts() -> None:
    assert [host_name(host) for host in ("A:1", "A", "[::1]:5", "[::1]", "")] == ["a", "a", "::1", "::1", ""]
    assert not is_loopback("127.0.0.1.example") and not is_loopback("0.0.0.0") and is_loopback("::1")


def test_foreign_pages_are_turned_away(running: Background) -> None:
    response = post(running, CHAT, ASK, headers={"origin": "https://evil.example"})
    error(response, 403, "origin_not_allowed")
    for name in ("https://evil.example", "null"):
        asking = {"origin": name, "access-control-request-method": "POST"}
        response = httpx.options(running.url + CHAT, headers=asking)
        error(response, 403, "origin_not_allowed")
        assert "access-control-allow-origin" not in response.headers


def test_the_servers_own_page_may_ask(running: Background) -> None:
    response = post(running, CHAT, ASK, headers={"origin": running.url})
    assert response.status_code == 200 and "access-control-allow-origin" not in response.headers


def test_a_page_that_is_allowed(locked: Background) -> None:
    origin = {"origin": "https://page.example"}
    asking = {"access-control-request-method": "POST", "access-control-request-headers": "authorization"}
    response = httpx.options(locked.url + CHAT, headers=origin | asking)
    assert response.status_code == 204
    assert response.headers["access-control-allow-origin"] == "https://page.example"
    assert response.headers["access-control-allow-headers"] == "authorization"
    response = post(locked, CHAT, ASK, headers=origin | key())
    assert response.status_code == 200
    assert response.headers["access-control-allow-origin"] == "https://page.example"
    error(post(locked, CHAT, ASK, headers=origin), 401)


def test_a_body_that_is_too_large(locked: Background) -> None:
    large = b" " * (LIMITS.body_bytes + 1)
    error(post(locked, CHAT, content=large, headers=key()), 413, "body_too_large")

    def pieces() -> Iterator[bytes]:  # whose length is not declared
        for _ in range(30):
            yield b" " * 1000

    response = httpx.post(locked.url + CHAT, content=pieces(), headers=key())
    error(response, 413, "body_too_large")
    assert post(locked, CHAT, ASK, headers=key()).status_code == 200


def test_a_body_that_never_comes(tmp_path_factory: pytest.TempPathFactory) -> None:
    with tiny_server(tmp_path_factory.mktemp("slow"), limits=Limits(body_seconds=0.2)) as server:
        host, port = server.url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), timeout=30) as connection:
            connection.sendall(b"POST /v1/completions HTTP/1.1\r\nhost: localhost\r\ncontent-length: 100\r\n\r\n{")
            assert connection.recv(1000).startswith(b"HTTP/1.1 408 ")


def test_paths_and_methods(running: Background) -> None:
    error(httpx.get(running.url + "/v1/nothing"), 404, "not_found")
    response = httpx.get(running.url + CHAT)
    error(response, 405, "method_not_allowed")
    assert response.headers["allow"] == "POST"
    error(httpx.get(running.url + "/docs"), 404)
    error(httpx.get(running.url + "/v1/models/other"), 404, "model_not_found")
    assert httpx.get(running.url + "/v1/models/tiny").json()["id"] == "tiny"


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "invalid_json"),
        (b"{", "invalid_json"),
        (b'{"model": "tiny"', "invalid_json"),
        (b'\xff\xfe{"model"}', "invalid_json"),
        (b'{"model": "ti\xc3(ny", "messages": []}', "invalid_json"),
        (b'{"model": "tiny", "messages": [{"role": "user", "content": "\\ud800"}]}', "invalid_json"),
        (b"[" * 5000, "invalid_json"),
        (b"null", None),
        (b"[]", None),
        (b'"x"', None),
        (b"{}", "missing_required_parameter"),
    ],
)
def test_what_is_no_request(running: Background, content: bytes, code: str | None) -> None:
    for path in (CHAT, "/v1/completions", "/v1/embeddings"):
        error(post(running, path, content=content), 400, code)


def tools(count: int) -> list[dict[str, Any]]:
    return [{"type": "function", "function": {"name": f"t{place}"}} for place in range(count)]


def deep(levels: int) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "integer"}
    for _ in range(levels):
        schema = {"type": "array", "items": schema}
    return schema


def fmt(schema: Any) -> dict[str, Any]:
    return {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}


@pytest.mark.parametrize(
    ("change", "param", "code"),
    [
        ({"model": 5}, "model", "invalid_value"),
        ({"messages": []}, "messages", "invalid_value"),
        ({"messages": [{"role": "judge", "content": ""}]}, "messages.0.role", "invalid_value"),
        ({"messages": [{"role": "user", "content": 5}]}, "messages.0.content", "invalid_value"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]},
            "messages.0.content.0.type",
            "invalid_value",
        ),
        ({"messages": ASK["messages"] * 6}, "messages", "too_many_messages"),
        ({"temperature": "1"}, "temperature", "invalid_value"),
        ({"temperature": 2.1}, "temperature", "invalid_value"),
        ({"temperature": -0.1}, "temperature", "invalid_value"),
        ({"top_p": 1.5}, "top_p", "invalid_value"),
        ({"n": 0}, "n", "invalid_value"),
        ({"n": 5}, "n", "too_many_choices"),
        ({"n": True}, "n", "invalid_value"),
        ({"max_tokens": 0}, "max_tokens", "invalid_value"),
        ({"max_tokens": 51}, "max_tokens", "too_many_tokens"),
        ({"stop": [""]}, "stop", "invalid_value"),
        ({"stop": ["x"] * 17}, "stop", "too_many_stops"),
        ({"stop": "x" * 1025}, "stop", "stop_too_long"),
        ({"logit_bias": {"x": 1}}, "logit_bias", "invalid_value"),
        ({"logit_bias": {"-1": 1}}, "logit_bias", "invalid_value"),
        ({"logit_bias": {"5000": 1}}, "logit_bias", "invalid_value"),
        ({"logit_bias": {"5": 101}}, "logit_bias.5", "invalid_value"),
        ({"top_logprobs": 2}, "top_logprobs", "invalid_value"),
        ({"logprobs": True, "top_logprobs": 21}, "top_logprobs", "invalid_value"),
        ({"seed": 2**70}, "seed", "invalid_value"),
        ({"colour": "red"}, "colour", "unknown_parameter"),
        ({"functions": [{"name": "f"}]}, "functions", "unsupported_parameter"),
        ({"audio": {}}, None, None),
        ({"modalities": ["text", "audio"]}, "modalities", "unsupported_parameter"),
        ({"tools": tools(4)}, "tools", "too_many_tools"),
        ({"tools": tools(1) * 2}, "tools", "invalid_value"),
        ({"tools": [{"type": "function", "function": {"name": "a b"}}]}, "tools.0.function.name", "invalid_value"),
        (
            {"tools": [{"type": "function", "function": {"name": "a", "parameters": deep(9)}}]},
            "tools.0.function.parameters",
            "schema_too_deep",
        ),
        ({"tool_choice": "required"}, "tool_choice", "invalid_value"),
        (
            {"tools": tools(2), "tool_choice": {"type": "function", "function": {"name": "x"}}},
            "tool_choice",
            "invalid_value",
        ),
        ({"response_format": fmt(deep(9))}, "response_format.json_schema.schema", "schema_too_deep"),
        ({"response_format": {"type": "json_schema"}}, "response_format.json_schema", None),
        ({"response_format": fmt({"type": "colour"})}, None, "invalid_value"),
        ({"response_format": fmt({"type": "object"}), "tools": tools(1)}, "response_format", "invalid_value"),
        ({"chat_template_kwargs": {"messages": []}}, "chat_template_kwargs", "invalid_value"),
        ({"messages": [{"role": "user", "content": "x" * 3000}]}, "messages", "context_length_exceeded"),
    ],
)
def test_what_is_wrong_is_named(
    locked: Background, change: dict[str, Any], param: str | None, code: str | None
) -> None:
    response = post(locked, CHAT, ASK | change, headers=key())
    if code is None and param is None:
        assert response.status_code == 200, response.text
        return
    found = error(response, 400, code)
    assert (found["param"] or "").startswith(param or ""), found


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"prompt": []}, "prompt"),
        ({"prompt": ""}, "prompt"),
        ({"prompt": [[]]}, "prompt"),
        ({"prompt": [1, "x"]}, "prompt"),
        ({"prompt": [-1]}, None),
        ({"prompt": [10**6]}, None),
        ({"prompt": [10**30]}, None),
        ({"prompt": ["x"] * 4}, "prompt"),
        ({"echo": True}, "echo"),
        ({"suffix": "x"}, "suffix"),
        ({"best_of": 3}, "best_of"),
        ({"logprobs": True}, "logprobs"),
        ({"messages": []}, "messages"),
    ],
)
def test_what_is_wrong_with_a_completion(locked: Background, change: dict[str, Any], param: str | None) -> None:
    response = post(locked, "/v1/completions", {"model": "tiny", "prompt": "x"} | change, headers=key())
    assert (error(response, 400)["param"] or "").startswith(param or "")


def test_what_is_ignored_and_null(running: Background) -> None:
    ignored = {"user": "u", "store": True, "metadata": {"a": "b"}, "service_tier": "auto", "prompt_cache_key": "k"}
    nulls = dict.fromkeys(["stop", "n", "temperature", "tools", "tool_choice", "response_format", "seed", "stream"])
    assert post(running, CHAT, ASK | ignored | nulls).status_code == 200
    message = {"role": "user", "content": [{"type": "text", "text": "1"}, {"type": "text", "text": "2"}], "odd": 1}
    assert post(running, CHAT, ASK | {"messages": [message]}).status_code == 200


def test_unknown_models(running: Background) -> None:
    found = error(post(running, CHAT, ASK | {"model": "gpt"}), 404, "model_not_found")
    assert found["type"] == "not_found_error"


def test_a_network_needs_a_key() -> None:
    for host in ("0.0.0.0", "::"):
        with pytest.raises(UsageError, match="--api-key-file"):
            Server(["nothing"], settings=Settings(host=host, port=0))


def test_a_port_in_use_is_known_before_a_model_is_loaded(running: Background) -> None:
    with pytest.raises(UsageError, match="cannot listen on"):
        Server(["nothing"], settings=Settings(port=int(running.url.rsplit(":", 1)[1])))
