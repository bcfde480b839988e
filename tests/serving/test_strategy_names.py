"""Names and efforts: what is offered and listed, what is refused, budgets of thinking."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest

from tests.serving.live import byte_folder, client, post, refused, tiny_server
from tests.serving.voting import ASK, named_server
from tests.tiny import TEMPLATE
from whetstone.engine.strategies.names import METHODS
from whetstone.errors import UsageError
from whetstone.serving.offers import Offers, named_strategies, thinking_budgets
from whetstone.serving.server import Background
from whetstone.serving.strategies import THINKING


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Background]:
    with named_server(tmp_path_factory.mktemp("strategies")) as running:
        yield running


@pytest.fixture
def ask(server: Background) -> openai.OpenAI:
    return client(server)


def test_names_are_listed(ask: openai.OpenAI) -> None:
    listed = {model.id: model.model_dump() for model in ask.models.list()}
    assert list(listed) == ["tiny", "careful", "short"]
    assert listed["careful"]["parent"] == "tiny" and listed["careful"]["strategy"] == "consistency-6"
    assert ask.models.retrieve("careful").model_dump()["strategy"] == "consistency-6"


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
def test_options_that_make_no_sense(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], complaint: str
) -> None:
    assert complaint in refused(capsys, byte_folder(tmp_path / "tiny"), *arguments)


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


TOOL = {"type": "function", "function": {"name": "add", "parameters": {"type": "object"}}}


@pytest.mark.parametrize(
    ("asked", "status", "complaint"),
    [
        ({"model": "tiny@vote-3"}, 400, "unknown strategy"),
        ({"model": "tiny@"}, 400, "unknown strategy"),
        ({"model": "careful@greedy"}, 400, "careful says by itself how it answers: leave out @greedy"),
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
