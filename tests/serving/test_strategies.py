"""Strategies behind the API: what they choose against a vote by hand, their usage and their streams."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import openai
import pytest

from tests.serving.live import alone, byte_tokenizer, client, leaks, post, text_of, tiny_server, until
from tests.serving.voting import ASK, majority, samples
from whetstone.engine.strategies.names import DEFAULT_TEMPERATURE, METHODS
from whetstone.engine.strategies.strategy import Candidate, Scores, Verifier
from whetstone.serving.limits import Limits
from whetstone.serving.models import Served
from whetstone.serving.offers import Offers
from whetstone.serving.sampling import seeds
from whetstone.serving.server import Background
from whetstone.tasks.answers import read_general


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
