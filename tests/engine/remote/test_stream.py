"""Answers of endpoints as they come: from a real server in pieces, in one go, and in every trouble."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import whetstone as wh
from tests.cli.process import whet
from tests.engine.remote.loopback import NAME, Reply, error, in_turn, loopback
from tests.serving.live import alone, text_of, tiny_server
from whetstone.engine.backends import Source
from whetstone.engine.protocol import Request, SamplingParams
from whetstone.engine.remote.credentials import HIDDEN, ApiKey, Veil
from whetstone.engine.remote.endpoint import Endpoint
from whetstone.engine.remote.events import LONGEST_EVENT
from whetstone.engine.remote.settings import EndpointSettings
from whetstone.serving.server import Background
from whetstone.text import printable

QUICK = EndpointSettings(backoff=0.001, retries=2)
ASK = Request((), (5,), ({"role": "user", "content": "12+34?"},))
PARAMS = SamplingParams(12, 0.0)
SECRET = "sk-0123456789abcdef"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Background]:
    with tiny_server(tmp_path_factory.mktemp("streaming")) as running:
        yield running


def test_a_real_server_is_heard_piece_by_piece(server: Background) -> None:
    endpoint, heard = Endpoint(f"{server.url}/v1", "tiny"), []
    completion = endpoint.stream(ASK, replace(PARAMS, max_new_tokens=200), heard.append)
    expected = alone("12+34?", 200)
    assert "".join(heard) == completion.text == text_of(expected) and len(heard) > 1
    assert completion.finish == expected.finish and completion.length == len(expected.ids)
    assert endpoint.usage.completion == len(expected.ids) and endpoint.usage.uncounted == 0


def test_generate_shows_an_endpoints_answer(server: Background, tmp_path: Path) -> None:
    address = f"{server.url}/v1"
    finished = whet("generate", address, "--model", "tiny", "12+34?", "--max-tokens", 12, cwd=tmp_path)
    assert finished.code == 0 and finished.out == printable(text_of(alone("12+34?", 12))) + "\n"
    opened, heard = Source(address, "tiny").open(), []
    [[answer]] = wh.sample(opened, "12+34?", max_new_tokens=200, heard=heard.append)
    assert "".join(heard) == answer.text and len(heard) > 1


def events(*texts: str, finish: str | None = "stop", done: bool = True, **more: Any) -> Reply:
    parts: list[dict[str, Any]] = [{"choices": [{"index": 0, "delta": {"content": text}}]} for text in texts]
    parts += [{"choices": [{"index": 0, "delta": {}, "finish_reason": finish}]}] if finish else []
    parts += [more] if more else []
    lines = [f"data: {json.dumps(part)}\n\n" for part in parts] + ["data: [DONE]\n\n"] * done
    return Reply(raw=": comment\n\n".join(lines).encode(), headers={"content-type": "text/event-stream; charset=utf-8"})


def streamed(reply: Reply | None, *more: Reply | None, **settings: Any) -> tuple[Any, list[str], Any]:
    heard: list[str] = []
    with loopback(in_turn(reply, *more)) as far:
        endpoint = Endpoint(far.address, NAME, ApiKey(SECRET), QUICK.model_copy(update=settings))
        completion = endpoint.stream(ASK, PARAMS, heard.append)
        return completion, heard, (endpoint, far.asked)


def test_a_server_that_does_not_stream_is_heard_at_its_end() -> None:
    completion, heard, (endpoint, asked) = streamed(None)
    assert heard == [completion.text] and len(asked) == 1 and endpoint.usage.completion == completion.length > 0
    assert asked[0].body["stream"] is True and "logprobs" not in asked[0].body


@pytest.mark.parametrize("name", ["stream", "stream_options"])
def test_a_server_that_will_not_hear_of_it_is_asked_without(name: str) -> None:
    refusal = error(400, f"Unrecognized request argument supplied: {name}")
    completion, heard, (_, asked) = streamed(refusal)
    assert "".join(heard) == completion.text and len(asked) == 2
    assert name not in asked[1].body and ("stream" in asked[1].body) == (name != "stream")


def test_what_breaks_before_the_first_text_is_asked_again() -> None:
    for trouble in (
        error(503, "busy"),
        replace(events(finish=None, done=False), cut=True),
        events(finish=None, done=False),
        events(finish=None, done=False, error={"message": "overloaded"}),
        Reply(raw=b"data: {nonsense\n\n", headers={"content-type": "text/event-stream"}),
        Reply(raw=b"data: " + b"x" * (LONGEST_EVENT + 9), headers={"content-type": "text/event-stream"}),
        Reply(raw=b'data: {"choices": 7}\n\n', headers={"content-type": "text/event-stream"}),
    ):
        completion, heard, (_, asked) = streamed(trouble, events("Par", "is"))
        assert completion.text == "".join(heard) == "Paris" and len(asked) == 2


@pytest.mark.parametrize(
    ("trouble", "why"),
    [
        (replace(events("Par", finish=None, done=False), cut=True), "connection broke"),
        (events("Par", finish=None, done=False), "ended in the middle"),
        (events("Par", finish=None, done=False, error={"message": f"no {SECRET}"}), f"an error: no {HIDDEN}"),
        (replace(events("Par"), raw=events("Par", finish=None).raw[:-14] + b"data: {\n\n"), "no JSON"),
    ],
    ids=["cut", "no end", "error", "no json"],
)
def test_what_breaks_behind_it_is_not(trouble: Reply, why: str) -> None:
    completion, heard, (endpoint, asked) = streamed(trouble, events("London"))
    assert completion.finish == "error" and heard == ["Par"] and len(asked) == 1
    assert why in endpoint.last_failure and "in the middle of the answer" in endpoint.last_failure


def test_the_rest_of_the_protocol() -> None:
    usage = {"prompt_tokens": 5, "completion_tokens": 9, "total_tokens": 14}
    completion, _, (endpoint, _) = streamed(events("\ud83d", "x", finish="length", choices=[], usage=usage))
    assert completion.text == "\ufffdx" and completion.finish == "length" and completion.length == 9
    assert endpoint.usage.prompt == 5
    parts = [{"type": "thinking", "thinking": []}, {"type": "text", "text": "Par"}]
    completion, heard, _ = streamed(events("is", choices=[{"delta": {"content": parts}}]))
    assert completion.text == "".join(heard) == "isPar"
    refusing = {"choices": [{"delta": {"refusal": "I will not"}, "finish_reason": "stop"}]}
    completion, heard, _ = streamed(events(finish=None, **refusing))
    assert completion.finish == "refused" and completion.text == "I will not" and heard == []


# ß and İ have another length in lower case
@given(st.text(alphabet="sk-0123Xxßİ", max_size=30), st.text(max_size=10), st.data())
def test_a_key_is_hidden_however_it_is_cut(before: str, behind: str, data: st.DataObject) -> None:
    text = before + SECRET.upper() + behind + SECRET + before
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=12)))
    veil, key = Veil(ApiKey(SECRET)), ApiKey(SECRET)
    pieces = [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    shown = "".join(veil.feed(piece) for piece in pieces) + veil.finish()
    assert shown == key.hide(text) and SECRET not in shown.lower()


@pytest.mark.parametrize("before", ["it is ", "heißt ", "İ "])
def test_a_key_in_a_stream_is_not_heard(before: str) -> None:
    completion, heard, _ = streamed(events(before + SECRET[:7], SECRET[7:].upper(), "!"))
    assert "".join(heard) == completion.text == f"{before}{HIDDEN}!"


def test_events_behind_a_refusal_are_no_answer() -> None:
    refusal = replace(events("Par", "is"), status=503)
    completion, heard, (_, asked) = streamed(refusal, events("London"))
    assert completion.text == "".join(heard) == "London" and len(asked) == 2
