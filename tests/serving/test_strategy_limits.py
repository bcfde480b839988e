"""What one answer of a strategy may take: samples, tokens, places in the queue; and those who leave in the middle."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

from tests.serving.live import alone, client, leaks, post, text_of, tiny_server, until
from tests.serving.voting import ASK, named_server
from whetstone.engine.strategies import adaptive, names
from whetstone.serving.limits import Limits
from whetstone.serving.server import Background


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Background]:
    with named_server(tmp_path_factory.mktemp("strategies")) as running:
        yield running


@pytest.fixture
def ask(server: Background) -> openai.OpenAI:
    return client(server)


@pytest.mark.parametrize("spec", ["agree-129", "agree-256:loss=0.03125", "allocate-9:most=200", "consistency-129"])
def test_what_draws_too_many_samples_is_refused_before_anything_is_worked_out_for_it(
    ask: openai.OpenAI, spec: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A threshold for 256 samples takes seconds of arithmetic; a client could ask for one after the other."""

    def work(*_: Any) -> float:
        raise AssertionError("worked out for a request that is refused")

    monkeypatch.setattr(names, "safe_threshold", work)
    monkeypatch.setattr(adaptive, "safe_threshold", work)
    with pytest.raises(openai.BadRequestError, match="128"):
        ask.chat.completions.create(model=f"tiny@{spec}", messages=ASK, max_tokens=4)


def test_a_number_of_too_many_digits_is_no_strategy(ask: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="unknown strategy"):
        ask.chat.completions.create(model=f"tiny@consistency-{'9' * 5000}", messages=ASK, max_tokens=4)


@pytest.mark.parametrize("streaming", [True, False])
def test_a_client_that_leaves_ends_all_samples(tmp_path: Path, streaming: bool) -> None:
    asked = {"model": "tiny@consistency-40", "messages": ASK, "max_tokens": 1900, "ignore_eos": True}
    with tiny_server(tmp_path) as running:
        running.server.state.comment_seconds = 0.01
        engine = running.server.state.models.get("tiny").engine
        if streaming:
            with (
                httpx.Client(timeout=60) as http,
                http.stream("POST", running.url + "/v1/chat/completions", json=asked | {"stream": True}) as response,
            ):
                assert next(response.iter_lines()).startswith(":")
        else:
            with pytest.raises(httpx.ReadTimeout):
                httpx.post(running.url + "/v1/chat/completions", json=asked, timeout=1)
        until(lambda: leaks(running) == [])
        assert engine.stats.generated_tokens < 40 * 1900
        assert running.server.state.disconnects == 1


def test_samples_take_places_in_the_queue(tmp_path: Path) -> None:
    """Forty samples are two prompts of at most 32; a queue of one refuses them at once, and keeps nothing of them."""
    with tiny_server(tmp_path, limits=Limits(queue=1)) as running:
        answer = post(
            running, "/v1/chat/completions", {"model": "tiny@consistency-40", "messages": ASK, "max_tokens": 2}
        )
        assert answer.status_code == 429 and answer.headers["retry-after"]
        until(lambda: leaks(running) == [])
        answer = post(
            running, "/v1/chat/completions", {"model": "tiny@consistency-32", "messages": ASK, "max_tokens": 2}
        )
        assert answer.status_code == 200


def test_hidden_tokens_are_bounded(tmp_path: Path) -> None:
    from whetstone.engine.protocol import SamplingParams
    from whetstone.engine.strategies import names
    from whetstone.engine.strategies.names import Method, Options, Tools
    from whetstone.engine.strategies.parallel import chosen
    from whetstone.engine.strategies.strategy import Question, Steps, Strategy, draw

    class Endless:
        name = "endless"

        def solve(self, question: Question, backend: Any) -> Steps:
            while True:
                request = backend.request(list(question.prompts[0]), (question.seed(0),))
                drawn = yield from draw([request], SamplingParams(question.room, 1.0, frozenset()))
                if not drawn:
                    return chosen(drawn[0], 0)

    def endless(name: str, number: int, options: Options, tools: Tools) -> Strategy:
        return Endless()

    with pytest.MonkeyPatch.context() as patch, tiny_server(tmp_path, limits=Limits(hidden_tokens=100)) as running:
        patch.setitem(names.METHODS, "endless", Method(endless, "never chooses"))
        answer = post(running, "/v1/chat/completions", {"model": "tiny@endless", "messages": ASK, "max_tokens": 30})
        assert answer.status_code == 400 and "more than the 100 tokens" in answer.json()["error"]["message"]
        assert 100 < running.server.state.models.get("tiny").engine.stats.generated_tokens <= 150


@pytest.mark.parametrize("patience", [60.0, 0.1])
def test_a_later_round_waits_for_a_place(tmp_path: Path, patience: float) -> None:
    """The queue is full when the first round has been drawn; a place is free a little later, or never."""
    from whetstone.engine.protocol import SamplingParams
    from whetstone.engine.strategies import names
    from whetstone.engine.strategies.names import Method, Options, Tools
    from whetstone.engine.strategies.parallel import chosen
    from whetstone.engine.strategies.strategy import Question, Steps, Strategy, draw
    from whetstone.serving import solving

    class Twice:
        name = "twice"

        def solve(self, question: Question, backend: Any) -> Steps:
            request = backend.request(list(question.prompts[0]), (question.seed(0),))
            params = SamplingParams(question.room, 0.0, backend.stop_ids)
            yield from draw([request], params)
            service.max_waiting = 0
            if patience > 1:
                threading.Timer(0.2, lambda: setattr(service, "max_waiting", 4)).start()
            drawn = yield from draw([request], params)
            return chosen(drawn[0], 0)

    def twice(name: str, number: int, options: Options, tools: Tools) -> Strategy:
        return Twice()

    with pytest.MonkeyPatch.context() as patch, tiny_server(tmp_path) as running:
        service = running.server.state.service
        patch.setitem(names.METHODS, "twice", Method(twice, "asks twice"))
        patch.setattr(solving, "PATIENCE", patience)
        answer = post(running, "/v1/chat/completions", {"model": "tiny@twice", "messages": ASK, "max_tokens": 8})
        if patience > 1:
            assert answer.status_code == 200 and answer.json()["whetstone"]["rounds"] == 2
            assert answer.json()["choices"][0]["message"]["content"] == text_of(alone("12+34?", 8))
        else:
            assert answer.status_code == 429


def test_a_server_that_stops_says_so(tmp_path: Path) -> None:
    asked = {"model": "tiny@consistency-8", "messages": ASK, "max_tokens": 1900, "ignore_eos": True}
    found: list[httpx.Response] = []
    with tiny_server(tmp_path, patience=0.1) as running:
        thread = threading.Thread(target=lambda: found.append(post(running, "/v1/chat/completions", asked)))
        thread.start()
        until(lambda: running.server.state.service.open > 0)
        running.server.stop()
        thread.join()
    assert found[0].status_code == 503 and "shutting down" in found[0].json()["error"]["message"]
