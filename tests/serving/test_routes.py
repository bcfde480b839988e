"""Routes as models: who is asked, what it costs, and policies that do not belong here."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import openai
import pytest

from tests.serving.live import byte_folder, byte_model, byte_tokenizer, client, leaks, post, refused, tiny_server, until
from whetstone.engine.backends import Source
from whetstone.engine.engine import Engine
from whetstone.engine.routing.features import hidden
from whetstone.engine.routing.policy import Cascade, Classifier, Features, Option, Policy, Rule
from whetstone.errors import UsageError
from whetstone.evals.looks import identity
from whetstone.serving.limits import Limits
from whetstone.serving.offers import Offers
from whetstone.serving.routes import named_routes
from whetstone.serving.server import Background

ASK: list[Any] = [{"role": "user", "content": "12+34?"}]
WIDTH = byte_model().config.width


def saved(folder: Path, name: str, rule: Rule, **weights: str) -> Path:
    """A policy over tiny@consistency-5, other@consistency-3 and tiny@greedy, in a folder of its own."""
    own, other = identity(Source(str(folder / "tiny"))), identity(Source(str(folder / "other")))
    options = (
        Option(str(folder / "tiny"), "consistency-5", weights.get("tiny", own)),
        Option(str(folder / "other"), "consistency-3", weights.get("other", other)),
        Option(str(folder / "tiny"), "greedy", weights.get("tiny", own)),
    )
    (folder / name).mkdir()
    Policy(options, rule).save(folder / name)
    return folder / name


def by_hidden_states(rate: float) -> Classifier:
    random = np.random.default_rng(0)
    weights = 30 * random.normal(size=(3, WIDTH))
    costs = np.array([2.0, 9.0, 1.0])
    return Classifier(Features("hidden", WIDTH, 2), np.zeros(WIDTH), np.ones(WIDTH), weights, np.zeros(3), costs, rate)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("routes")
    byte_folder(made / "tiny")
    byte_folder(made / "other", seed=7)
    return made


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[Background]:
    routes = {
        "never": saved(folder, "never", Cascade((0, 1), (1.1,))),
        "always": saved(folder, "always", Cascade((0, 1), (0.0,))),
        "half": saved(folder, "half", Cascade((0, 2), (0.5,))),
        "reader": saved(folder, "reader", by_hidden_states(0.0)),
    }
    with tiny_server(folder, offers=Offers(routes=routes)) as running:
        yield running


@pytest.fixture
def ask(server: Background) -> openai.OpenAI:
    return client(server)


def answered(ask: openai.OpenAI, model: str, **asked: Any) -> Any:
    return ask.chat.completions.create(**{"model": model, "messages": ASK, "max_tokens": 6, "seed": 5} | asked)


def test_a_sure_answer_ends_it(ask: openai.OpenAI) -> None:
    route, alone = answered(ask, "always"), answered(ask, "tiny@consistency-5")
    assert route.choices[0].message.content == alone.choices[0].message.content
    told = route.model_dump()["whetstone"]
    assert told["option"] == "tiny@consistency-5" and told["asked"] == ["tiny@consistency-5"]
    assert route.usage.completion_tokens == alone.usage.completion_tokens
    assert route.usage.prompt_tokens == alone.usage.prompt_tokens


def test_an_unsure_one_goes_on_and_all_is_counted(ask: openai.OpenAI) -> None:
    route = answered(ask, "never")
    first, second = answered(ask, "tiny@consistency-5"), answered(ask, "other@consistency-3")
    assert route.choices[0].message.content == second.choices[0].message.content
    told = route.model_dump()["whetstone"]
    assert told["asked"] == ["tiny@consistency-5", "other@consistency-3"] and told["option"] == told["asked"][1]
    assert told["samples"] == 8 and told["rounds"] == 2 and told["route"] == "never"
    for name in ("completion_tokens", "prompt_tokens", "total_tokens"):
        assert getattr(route.usage, name) == getattr(first.usage, name) + getattr(second.usage, name)
    content = len(byte_tokenizer().encode(second.choices[0].message.content))
    assert route.usage.completion_tokens_details.reasoning_tokens == route.usage.completion_tokens - content


@pytest.mark.parametrize("seed", range(4))
def test_the_threshold_is_the_share_of_votes(ask: openai.OpenAI, seed: int) -> None:
    first = answered(ask, "tiny@consistency-5", seed=seed, max_tokens=1)
    route = answered(ask, "half", seed=seed, max_tokens=1)
    sure = first.model_dump()["whetstone"]["confidence"] >= 0.5
    assert len(route.model_dump()["whetstone"]["asked"]) == (1 if sure else 2)


@pytest.mark.parametrize("text", ["12+34?", "a", "What is the capital of France?", "9*9"])
def test_a_classifier_asks_whom_its_policy_says(
    server: Background, ask: openai.OpenAI, folder: Path, text: str
) -> None:
    rule = by_hidden_states(0.0)
    features = hidden(Engine(byte_model()), byte_tokenizer(), text)
    expected = ["tiny@consistency-5", "other@consistency-3", "tiny@greedy"][int(rule.choose(features[None])[0])]
    route = answered(ask, "reader", messages=[{"role": "user", "content": text}])
    told = route.model_dump()["whetstone"]
    assert told["asked"] == [expected] and told["routing_tokens"] == len(text.encode())
    alone = answered(ask, expected, messages=[{"role": "user", "content": text}])
    assert route.choices[0].message.content == alone.choices[0].message.content


def test_a_stream_and_a_text(ask: openai.OpenAI) -> None:
    whole = answered(ask, "never")
    chunks = list(answered(ask, "never", stream=True, stream_options={"include_usage": True}))
    assert "".join(c.delta.content or "" for chunk in chunks for c in chunk.choices) == whole.choices[0].message.content
    assert chunks[-1].usage.completion_tokens == whole.usage.completion_tokens
    assert chunks[-2].model_dump()["whetstone"] == whole.model_dump()["whetstone"]
    text = ask.completions.create(model="never", prompt="12+34=", max_tokens=5, seed=5)
    second = ask.completions.create(model="other@consistency-3", prompt="12+34=", max_tokens=5, seed=5)
    assert text.choices[0].text == second.choices[0].text


def test_routes_are_listed(ask: openai.OpenAI) -> None:
    listed = {model.id: model.model_dump() for model in ask.models.list()}
    assert list(listed) == ["tiny", "other", "never", "always", "half", "reader"], "the missing model was loaded"
    assert listed["reader"]["route"] == ["tiny@consistency-5", "other@consistency-3", "tiny@greedy"]
    assert ask.models.retrieve("half").model_dump()["route"] == listed["half"]["route"]


@pytest.mark.parametrize(
    ("asked", "complaint"),
    [
        ({"n": 2}, "one answer"),
        ({"select": "best"}, "one answer"),
        ({"model": "always@greedy"}, "always says by itself how it answers"),
        ({"logprobs": True}, "log-probabilities"),
        ({"temperature": 0.5}, "leave out temperature"),
        ({"logit_bias": {"3": 1}}, "leave out logit_bias"),
        ({"tools": [{"type": "function", "function": {"name": "x"}}]}, "tool calls"),
        ({"messages": [{"role": "user", "content": "x" * 5000}]}, "maximum context length"),
    ],
)
def test_mistakes_are_one_line(server: Background, asked: dict[str, Any], complaint: str) -> None:
    response = post(server, "/v1/chat/completions", {"model": "never", "messages": ASK, "max_tokens": 4} | asked)
    assert response.status_code == 400 and complaint in response.json()["error"]["message"]


def test_a_client_that_leaves_ends_it(folder: Path, server: Background) -> None:
    asked = {"model": "never", "messages": ASK, "max_tokens": 1900, "ignore_eos": True}
    before = server.server.state.disconnects
    with pytest.raises(httpx.ReadTimeout):
        httpx.post(server.url + "/v1/chat/completions", json=asked, timeout=0.5)
    until(lambda: leaks(server) == [])
    assert server.server.state.disconnects == before + 1


def test_a_full_queue_refuses(folder: Path) -> None:
    for name in ("always", "reader"):
        offers = Offers(routes={name: folder / name})
        with tiny_server(folder, offers=offers, limits=Limits(queue=1)) as running:
            running.server.state.service.max_waiting = 0
            answer = post(running, "/v1/chat/completions", {"model": name, "messages": ASK, "max_tokens": 2})
            assert answer.status_code == 429 and answer.headers["retry-after"]


def test_other_weights_are_refused(folder: Path, tmp_path: Path) -> None:
    wrong = saved(folder, "wrong", Cascade((0, 1), (0.5,)), tiny="0" * 64)
    with (
        pytest.raises(UsageError, match=r"other weights of .* that are served as tiny"),
        tiny_server(folder, offers=Offers(routes={"wrong": wrong})),
    ):
        pass
    absent = saved(folder, "absent", Cascade((0, 1), (0.5,)), other="0" * 64)
    with (
        pytest.raises(UsageError, match=r"other weights of .* that are there now"),
        tiny_server(folder, offers=Offers(routes={"absent": absent})),
    ):
        pass
    unused = saved(folder, "unused", Cascade((0, 2), (0.5,)), other="0" * 64)
    with tiny_server(folder, offers=Offers(routes={"unused": unused})) as running:
        assert running.server.models == ["tiny", "unused"], "an option that is never asked is not loaded"
    remote = saved(folder, "remote", Cascade((0, 1), (0.5,)), other="https://example.com/v1 big")
    offers = Offers(routes={"r": remote})
    with pytest.raises(UsageError, match="give --endpoints FILE"), tiny_server(folder, offers=offers):
        pass
    with (
        pytest.raises(UsageError, match="cannot both be called"),
        tiny_server(folder, offers=Offers(routes={"tiny": unused})),
    ):
        pass


def test_options_that_make_no_sense(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = byte_folder(tmp_path / "tiny")
    assert "no route that can be read" in refused(capsys, model, "--route", f"auto={tmp_path / 'nowhere'}")
    assert "cannot be read" in refused(capsys, model, "--endpoints", tmp_path / "nowhere")
    for wrong in ("x", "=y", "a b=c"):
        with pytest.raises(UsageError, match="NAME=DIR"):
            named_routes([wrong])
    with pytest.raises(UsageError, match="both be called"):
        named_routes(["a=b", "a=c"])


def test_a_model_that_was_replaced_is_not_asked(folder: Path) -> None:
    """As when an adapter is loaded again in the place of the one that the route was learned with."""
    with tiny_server(folder, offers=Offers(routes={"always": folder / "always"})) as running:
        models = running.server.state.models
        asked = {"model": "always", "messages": ASK, "max_tokens": 2}
        assert post(running, "/v1/chat/completions", asked).status_code == 200
        twin = models.add(f"twin={folder / 'tiny'}")
        models._table["tiny"] = twin
        answer = post(running, "/v1/chat/completions", asked)
        assert answer.status_code == 404 and "other weights of tiny than are served now" in answer.text
