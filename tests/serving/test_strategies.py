"""Strategies behind the API: what they choose against a vote by hand, their usage, streams, refusals, disconnects."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import httpx
import openai
import pytest

from tests.cli.process import whet
from tests.serving.live import alone, byte_folder, byte_tokenizer, client, leaks, post, text_of, tiny_server, until
from tests.tiny import TEMPLATE
from whetstone.engine.strategies import adaptive, names
from whetstone.engine.strategies.names import DEFAULT_TEMPERATURE, METHODS
from whetstone.engine.strategies.strategy import Candidate, Scores, Verifier
from whetstone.errors import UsageError
from whetstone.serving.limits import Limits
from whetstone.serving.models import Served
from whetstone.serving.offers import Offers, named_strategies, thinking_budgets
from whetstone.serving.sampling import seeds
from whetstone.serving.server import Background
from whetstone.serving.strategies import THINKING
from whetstone.tasks.answers import read_general

ASK: list[Any] = [{"role": "user", "content": "12+34?"}]


class Length:
    """Likes long answers."""

    name, process = "certainty", False
    params_needed: ClassVar[dict[str, Any]] = {}

    def score(self, candidates: Sequence[Candidate]) -> Scores:
        return Scores(tuple(float(len(each.text)) for each in candidates), tokens=7, flops=3.0)


def length(served: Served) -> Mapping[str, Verifier]:
    return {"certainty": Length()}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Background]:
    offers = Offers({"careful": "tiny@consistency-6", "short": "tiny@greedy"}, verifiers=length)
    with tiny_server(tmp_path_factory.mktemp("strategies"), offers=offers, limits=Limits(queue=16)) as running:
        yield running


@pytest.fixture
def ask(server: Background) -> openai.OpenAI:
    return client(server)


def samples(count: int, tokens: int, seed: int = 5, warmth: float = DEFAULT_TEMPERATURE, **params: Any) -> list[str]:
    """What the engine samples alone with the seeds that the server gives a strategy."""
    return [text_of(alone("12+34?", tokens, each, warmth, **params)) for each in seeds(seed, count)]


def majority(texts: Sequence[str]) -> str:
    answers = [read_general(text) for text in texts]
    votes = Counter(answer for answer in answers if answer is not None)
    most = max(votes.values())
    return next(text for text, answer in zip(texts, answers, strict=True) if answer and votes[answer] == most)


@pytest.mark.parametrize("tokens", [1, 3])
@pytest.mark.parametrize("model", ["tiny@consistency-6", "careful"])
def test_a_vote_is_the_vote_by_hand(ask: openai.OpenAI, model: str, tokens: int) -> None:
    answer = ask.chat.completions.create(model=model, messages=ASK, max_tokens=tokens, seed=5)
    texts = samples(6, tokens)
    assert answer.choices[0].message.content == majority(texts)
    assert answer.model == model and len(answer.choices) == 1
    extension = answer.model_dump()["whetstone"]
    votes = Counter(map(read_general, texts))
    assert extension["strategy"] == "consistency-6" and extension["samples"] == 6 and extension["rounds"] == 1
    assert extension["agreement"] == pytest.approx(votes[read_general(majority(texts))] / 6)
    assert extension["verifier_tokens"] == 0


def test_usage_counts_what_is_hidden(ask: openai.OpenAI) -> None:
    answer = ask.chat.completions.create(model="tiny@consistency-5", messages=ASK, max_tokens=9, seed=1)
    completions = [alone("12+34?", 9, seed, DEFAULT_TEMPERATURE) for seed in seeds(1, 5)]
    written = sum(len(each.ids) for each in completions)
    usage = answer.usage
    assert usage is not None and usage.completion_tokens_details is not None
    chosen = next(each for each in completions if text_of(each) == answer.choices[0].message.content)
    assert usage.prompt_tokens == len(byte_tokenizer().chat_ids(ASK))
    assert usage.completion_tokens == written
    assert usage.completion_tokens_details.reasoning_tokens == written - len(chosen.ids)
    assert usage.total_tokens == usage.prompt_tokens + written
    again = ask.chat.completions.create(model="tiny@consistency-5", messages=ASK, max_tokens=9, seed=2)
    assert again.usage is not None and again.usage.prompt_tokens_details is not None
    assert (again.usage.prompt_tokens_details.cached_tokens or 0) <= again.usage.prompt_tokens


def test_greedy_is_the_plain_greedy_answer(ask: openai.OpenAI) -> None:
    answer = ask.chat.completions.create(model="short", messages=ASK, max_tokens=12)
    assert answer.choices[0].message.content == text_of(alone("12+34?", 12))
    assert answer.choices[0].finish_reason == "length"


@pytest.mark.parametrize("how", ["first", "majority", "weighted", "best"])
def test_n_with_select_sends_the_selected_one(ask: openai.OpenAI, how: str) -> None:
    answer = ask.chat.completions.create(
        model="tiny", messages=ASK, max_tokens=6, seed=5, n=7, extra_body={"select": how}, temperature=1
    )
    texts = samples(7, 6, warmth=1.0)
    content = answer.choices[0].message.content
    assert len(answer.choices) == 1
    answering = [text for text in texts if read_general(text) is not None]
    expected = {"first": answering[0], "majority": majority(texts), "best": max(answering, key=len)}
    assert content == expected[how] if how in expected else content in texts
    extension = answer.model_dump()["whetstone"]
    assert extension["samples"] == 7 and extension["verifier_tokens"] == (7 if how in ("weighted", "best") else 0)


def test_a_stream_says_the_same_in_one_go(server: Background, ask: openai.OpenAI) -> None:
    asked: Any = dict(model="careful", messages=ASK, max_tokens=40, seed=3)
    whole = ask.chat.completions.create(**asked)
    server.server.state.comment_seconds = 0.001
    try:
        body = asked | {"stream": True, "stream_options": {"include_usage": True}}
        response = post(server, "/v1/chat/completions", body)
    finally:
        server.server.state.comment_seconds = 10.0
    lines = [line for line in response.text.splitlines() if line]
    comments = [line for line in lines if line.startswith(":")]
    assert comments and lines[0] == comments[0], "something keeps the connection alive while nothing is known"
    chunks = list(ask.chat.completions.create(**asked, stream=True, stream_options={"include_usage": True}))
    text = "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)
    assert text == whole.choices[0].message.content
    assert chunks[0].choices[0].delta.role == "assistant"
    assert chunks[-1].usage is not None and whole.usage is not None
    assert chunks[-1].usage.completion_tokens == whole.usage.completion_tokens
    assert chunks[-2].choices[0].finish_reason == whole.choices[0].finish_reason
    assert chunks[-2].model_dump()["whetstone"] == whole.model_dump()["whetstone"]


def test_text_completions(ask: openai.OpenAI) -> None:
    asked: Any = dict(model="tiny@consistency-4", prompt="12+34=", max_tokens=5, seed=5)
    answer = ask.completions.create(**asked)
    ids = byte_tokenizer().core.encode("12+34=").ids
    texts = [text_of(alone(ids, 5, seed, DEFAULT_TEMPERATURE)) for seed in seeds(5, 4)]
    assert answer.choices[0].text == majority(texts)
    assert "".join(chunk.choices[0].text for chunk in ask.completions.create(**asked, stream=True)) == majority(texts)
    with pytest.raises(openai.BadRequestError, match="one prompt"):
        ask.completions.create(**asked | {"prompt": ["a", "b"]})


def test_structured_answers_are_voted_on_as_json(ask: openai.OpenAI) -> None:
    schema = {
        "type": "object",
        "properties": {"digit": {"enum": [1, 2]}},
        "required": ["digit"],
        "additionalProperties": False,
    }
    form: Any = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    asked: Any = dict(messages=ASK, max_tokens=60, response_format=form, seed=9, temperature=1)
    answer = ask.chat.completions.create(model="tiny@consistency-9", **asked)
    apart = ask.chat.completions.create(model="tiny", n=9, **asked)
    votes = Counter(json.dumps(json.loads(choice.message.content or "")) for choice in apart.choices)
    assert json.dumps(json.loads(answer.choices[0].message.content or "")) == votes.most_common(1)[0][0]
    assert answer.model_dump()["whetstone"]["agreement"] == pytest.approx(votes.most_common(1)[0][1] / 9)


def test_stop_strings_and_sampling_fields_reach_the_samples(ask: openai.OpenAI) -> None:
    one = samples(1, 30)[0]
    stop = one[10:12]
    answer = ask.chat.completions.create(
        model="tiny@consistency-1", messages=ASK, max_tokens=30, seed=5, stop=[stop], logprobs=True
    )
    assert answer.choices[0].message.content == one[: one.index(stop)]
    assert answer.choices[0].logprobs is not None and answer.choices[0].logprobs.content
    cold = ask.chat.completions.create(
        model="tiny@consistency-3", messages=ASK, max_tokens=8, seed=5, extra_body={"top_k": 1}
    )
    assert cold.choices[0].message.content == text_of(alone("12+34?", 8))
    assert cold.model_dump()["whetstone"]["agreement"] == 1


def test_a_temperature_is_the_strategys(ask: openai.OpenAI) -> None:
    def content(model: str, **asked: Any) -> str | None:
        answer = ask.chat.completions.create(model=model, messages=ASK, max_tokens=8, seed=5, **asked)
        return answer.choices[0].message.content

    assert content("tiny@consistency-1", temperature=0.5) == text_of(alone("12+34?", 8, 5, 0.5))
    assert content("tiny@consistency-1:t=0.25", temperature=0.5) == text_of(alone("12+34?", 8, 5, 0.25))
    with pytest.raises(openai.BadRequestError, match="t must be a number"):
        content("tiny@consistency-4", temperature=0)
    with pytest.raises(openai.BadRequestError, match="greedy does not go with this temperature: leave it out"):
        content("tiny@greedy", temperature=0.7)


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


TOOL = {"type": "function", "function": {"name": "add", "parameters": {"type": "object"}}}


@pytest.mark.parametrize(
    ("asked", "status", "complaint"),
    [
        ({"model": "tiny@vote-3"}, 400, "unknown strategy"),
        ({"model": "tiny@"}, 400, "unknown strategy"),
        ({"model": "other@greedy"}, 404, "'other' does not exist"),
        ({"model": "tiny@best-3:by=oracle"}, 400, "there is no such verifier"),
        ({"model": "tiny@prompts-3"}, 400, "one wording"),
        ({"model": "tiny@consistency-3", "n": 2}, 400, "gives one answer"),
        ({"model": "tiny@consistency-3", "select": "best"}, 400, "leave out select"),
        ({"model": "tiny@consistency-3", "tools": [TOOL]}, 400, "tool calls"),
        ({"model": "tiny", "n": 3, "select": "majority", "tools": [TOOL]}, 400, "tool calls"),
        ({"model": "tiny@consistency-1000"}, 400, "from 1 to 128 samples"),
        ({"model": "tiny", "n": 2, "select": "worst"}, 400, "select"),
        ({"model": "tiny@consistency-8", "messages": []}, 400, "messages"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_mistakes_are_one_line(
    server: Background, asked: dict[str, Any], status: int, complaint: str, stream: bool
) -> None:
    response = post(server, "/v1/chat/completions", {"messages": ASK, "max_tokens": 4, "stream": stream} | asked)
    error = response.json()["error"]
    assert response.status_code == status and complaint in error["message"] and "\n" not in error["message"]


def test_names_are_listed(ask: openai.OpenAI) -> None:
    listed = {model.id: model.model_dump() for model in ask.models.list()}
    assert list(listed) == ["tiny", "careful", "short"]
    assert listed["careful"]["parent"] == "tiny" and listed["careful"]["strategy"] == "consistency-6"
    assert ask.models.retrieve("careful").model_dump()["strategy"] == "consistency-6"


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


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("--strategy", "x"), "NAME=MODEL@STRATEGY"),
        (("--strategy", "tiny=tiny@greedy"), "cannot both be called"),
        (("--strategy", "x=other@greedy"), "'other', which is not served"),
        (("--strategy", "x=tiny@vote-3"), "unknown strategy"),
        (("--effort", "low"), "EFFORT=TOKENS"),
    ],
)
def test_options_that_make_no_sense(tmp_path: Path, arguments: tuple[str, ...], complaint: str) -> None:
    byte_folder(tmp_path / "tiny")
    finished = whet("serve", "tiny", *arguments, "--port", 0, cwd=tmp_path)
    assert finished.code == 2 and complaint in finished.complaint


def test_offers_are_read() -> None:
    assert named_strategies(["a=m@best-2:by=certainty,t=0.7"]) == {"a": "m@best-2:by=certainty,t=0.7"}
    assert thinking_budgets(["low=7"])["low"] == 7 and thinking_budgets([])["low"] > 0
    with pytest.raises(UsageError, match="both be called"):
        named_strategies(["a=m@greedy", "a=m@greedy"])


THINKER = TEMPLATE.replace("<|assistant|>{% endif %}", "<|assistant|>{% endif %}{# <think> </think> #}")


@pytest.mark.skipif(THINKING not in METHODS, reason="no strategy that keeps to a thinking budget")
def test_an_effort_is_a_budget_of_thinking(tmp_path: Path) -> None:
    folder = byte_folder(tmp_path / "thinker", template=THINKER)
    offers = Offers(efforts={"low": 40, "none": 0})
    with tiny_server(tmp_path, f"thinker={folder}", offers=offers) as running:

        def answered(model: str, **asked: Any) -> dict[str, Any]:
            body = {"model": model, "messages": ASK, "max_tokens": 12, "seed": 1} | asked
            response = post(running, "/v1/chat/completions", body)
            assert response.status_code == 200, response.text
            found: dict[str, Any] = response.json()
            return found

        low = answered("thinker", reasoning_effort="low")
        assert low["whetstone"]["strategy"] == f"{THINKING}-40"
        thought = low["choices"][0]["message"]["reasoning_content"]
        assert thought and "<think>" not in thought
        details = low["usage"]["completion_tokens_details"]
        assert 0 < details["reasoning_tokens"] <= 40 + 2 and low["usage"]["completion_tokens"] <= 52
        for plain in ({"reasoning_effort": "none"}, {"reasoning_effort": "unheard of"}, {}):
            assert "whetstone" not in answered("thinker", **plain)
        assert "whetstone" not in answered("tiny", reasoning_effort="low"), "a model without marks knows no budget"


def test_certainty_needs_no_verifier_of_ones_own(tmp_path: Path) -> None:
    """What a server offers by itself: the vote weighted by the model's own certainty, the best by likelihood."""
    with tiny_server(tmp_path) as running:
        asked = {"messages": ASK, "max_tokens": 6, "seed": 5}
        best = post(running, "/v1/chat/completions", asked | {"model": "tiny@best-5:by=likelihood"}).json()
        own = [alone("12+34?", 6, seed, DEFAULT_TEMPERATURE) for seed in seeds(5, 5)]
        likely = max(own, key=lambda each: sum(each.logprobs) / len(each.logprobs))
        assert best["choices"][0]["message"]["content"] == text_of(likely)
        wish = {"model": "tiny", "n": 5, "select": "weighted", "temperature": DEFAULT_TEMPERATURE}
        chosen = post(running, "/v1/chat/completions", asked | wish).json()
        assert chosen["choices"][0]["message"]["content"] in [text_of(each) for each in own]
        assert chosen["whetstone"]["verifier_tokens"] == 0


REFUSED_IN_CHAT = {"prompts", "allocate"}


@pytest.mark.parametrize("method", METHODS)
def test_every_method_answers_and_every_token_is_counted(server: Background, method: str) -> None:
    """Against the engine's own count of what it sampled, for whatever methods there are."""
    engine = server.server.state.models.get("tiny").engine
    number = (
        f"-{max(METHODS[method].smallest, 64 if 'token' in METHODS[method].number else 3)}"
        if METHODS[method].number
        else ""
    )
    for path, body in (("chat/completions", {"messages": ASK}), ("completions", {"prompt": "12+34="})):
        before = engine.stats.generated_tokens
        asked = {"model": f"tiny@{method}{number}", "max_tokens": 12, "seed": 4} | body
        response = post(server, f"/v1/{path}", asked)
        told = response.json()
        if response.status_code == 200:
            assert told["usage"]["completion_tokens"] == engine.stats.generated_tokens - before > 0
            details = told["usage"]["completion_tokens_details"]
            assert 0 <= details["reasoning_tokens"] <= told["usage"]["completion_tokens"]
            assert told["whetstone"]["strategy"].startswith(method) and told["whetstone"]["samples"] > 0
        else:
            assert response.status_code == 400 and "\n" not in told["error"]["message"]
            assert path == "completions" or method in REFUSED_IN_CHAT, told["error"]["message"]
    until(lambda: leaks(server) == [])
