"""What the user typed becomes something that answers, or one line that says what is wrong with it."""

from __future__ import annotations

from pathlib import Path

import pytest

import whetstone as wh
from tests.tiny import tiny_folder
from whetstone.engine.backends import Source
from whetstone.engine.draft import Draft
from whetstone.engine.engine import Engine
from whetstone.engine.remote.endpoint import Endpoint
from whetstone.engine.remote.settings import EndpointSettings
from whetstone.errors import UsageError
from whetstone.models.hub import resolve

URL = "http://127.0.0.1:9/v1"


def test_weights_and_endpoints(tmp_path: Path) -> None:
    folder = str(tiny_folder(tmp_path / "tiny"))
    local = Source(folder).open()
    assert isinstance(local.sampler, Engine) and local.tokenizer is not None and local.positions == 8192
    assert local.stop_ids == local.tokenizer.stop_ids and local.facts() is None
    there = Source(f"{URL}/", "some/model").open()
    assert isinstance(there.sampler, Endpoint) and there.tokenizer is None and there.positions is None
    assert there.sampler.address == URL and there.stop_ids == frozenset()
    messages = [{"role": "user", "content": "Hi"}]
    assert there.request(messages, (1,)).prompt_ids == () and there.request(messages, (1,)).messages == tuple(messages)
    assert local.request(messages, (1,)).prompt_ids == tuple(local.tokenizer.chat_ids(messages))


def test_options_that_do_not_belong_together(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=f"name one by --model \\({URL}/models lists them\\)"):
        Source(URL)
    with pytest.raises(UsageError, match="an endpoint brings its own engine: leave out --backend"):
        Source(URL, "m", backend="vllm")
    with pytest.raises(UsageError, match="unknown backend 'tgi'; choose one of local, vllm"):
        Source("tiny", backend="tgi")
    with pytest.raises(UsageError, match="--model is for an endpoint, and 'tiny' is none: leave it out"):
        Source("tiny", "m")
    with pytest.raises(UsageError, match="--api-key-file is for an endpoint"):
        Source("tiny", api_key_file=tmp_path / "key")
    for elsewhere in ({"model": URL, "name": "m"}, {"model": "tiny", "backend": "vllm"}):
        with pytest.raises(UsageError, match="a draft model is for the local engine: leave out --draft"):
            Source(**elsewhere, draft="tiny")
    with pytest.raises(UsageError, match="--draft-weights is for a draft model: name one by --draft"):
        Source("tiny", draft_weights="int8")
    with pytest.raises(UsageError, match="--endpoint-settings is for an endpoint"):
        Source("tiny", settings=tmp_path / "settings.toml")


def test_a_draft_model_comes_along(tmp_path: Path) -> None:
    folder, smaller = str(tiny_folder(tmp_path / "tiny")), str(tiny_folder(tmp_path / "smaller", seed=1, layers=1))
    texts = [wh.sample(Source(folder, draft=draft).open(), "Hi", n=3, temperature=1) for draft in (None, smaller)]
    assert [answer.ids for answer in texts[0][0]] == [answer.ids for answer in texts[1][0]]
    engine = Source(folder, draft=folder).open().sampler
    assert isinstance(engine, Engine)
    [draft] = engine.proposers
    assert isinstance(draft, Draft) and draft.stepper.model is engine.model, "it is not loaded twice"


def test_an_endpoint_has_no_weights() -> None:
    with pytest.raises(UsageError, match=r"is an endpoint: .* can ask it, but this needs the weights: give a folder"):
        resolve(URL)


GOOD = """
concurrency = 4
requests_per_minute = 60
timeout = 30
extra = {reasoning_effort = "low"}

[prices]
input = 0.15
output = 0.6
date = 2026-03-01
source = "https://example.org/pricing"
"""
BAD = {
    "colour = 1": "there is no setting 'colour'",
    "concurrency = 0": "concurrency: should be greater than or equal to 1",
    "timeout = inf": "timeout: should be a finite number",
    "concurrency =": "settings.toml cannot be read: Invalid value",
    'extra = {model = "x"}': "extra may not hold model",
    'extra = {api_key = "x"}': "extra may not hold api_key",
    'omit = ["messages"]': "omit may not hold messages",
    "[prices]\ninput = 1\noutput = 2\nsource = 'x'": "prices.date: Field required",
    "[prices]\ninput = 1\noutput = 2\ndate = 2026-01-01\nsource = ''": "prices.source: String should have at least",
}


def test_settings(tmp_path: Path) -> None:
    path = tmp_path / "settings.toml"
    path.write_text(GOOD)
    there = Source(URL, "m", settings=path).open().sampler
    assert isinstance(there, Endpoint) and there.settings.concurrency == 4 and there.settings.prices is not None
    assert there.facts()["cost"] == {
        "usd": 0,
        "date": "2026-03-01",
        "source": "https://example.org/pricing",
        "complete": True,
    }
    path.write_text("")
    assert EndpointSettings.load(path) == EndpointSettings()


@pytest.mark.parametrize("text", BAD)
def test_settings_that_are_wrong(tmp_path: Path, text: str) -> None:
    path = tmp_path / "settings.toml"
    path.write_text(text)
    with pytest.raises(UsageError) as raised:
        EndpointSettings.load(path)
    assert BAD[text] in str(raised.value) and str(path) in str(raised.value)
    with pytest.raises(UsageError, match=r"none\.toml cannot be read: No such file"):
        EndpointSettings.load(tmp_path / "none.toml")
