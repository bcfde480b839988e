"""Vectors of texts."""

from __future__ import annotations

import numpy as np
import openai
import pytest
import torch

from tests.serving.live import byte_model, byte_tokenizer, leaks, post, until
from whetstone.engine.step import Step
from whetstone.engine.torch_runner import TorchRunner
from whetstone.serving.server import Background


def expected(text: str) -> np.ndarray:
    """The mean hidden state, computed in one piece."""
    ids = byte_tokenizer().encode(text)
    model = byte_model()
    runner = TorchRunner(model, 200)
    runner.refresh()
    count = len(ids)
    table = np.arange(200, dtype=np.int32)[None]
    places = np.arange(count)
    with torch.inference_mode():
        hidden = runner.hidden(Step(np.array(ids), places, np.zeros(count, dtype=np.int64), table, places))
    mean: np.ndarray = hidden.mean(0).double().numpy()
    return mean / np.linalg.norm(mean)


@pytest.mark.parametrize("form", ["float", "base64"])
def test_the_mean_of_the_hidden_states(api: openai.OpenAI, running: Background, form: str) -> None:
    texts = ["one", "another text", "x" * 1400]  # the last one goes in several chunks
    answer = api.embeddings.create(model="tiny", input=texts, encoding_format=form)  # type: ignore[arg-type]
    assert answer.usage.prompt_tokens == sum(map(len, texts))
    for place, text in enumerate(texts):
        found = answer.data[place]
        assert found.index == place
        vector = np.array(found.embedding)
        if form == "base64":
            import base64

            vector = np.frombuffer(base64.b64decode(found.embedding), "<f4")  # type: ignore[arg-type]
        assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-5)
        np.testing.assert_allclose(vector, expected(text), atol=1e-5)
    until(lambda: leaks(running) == [])


def test_ids_are_taken_too(api: openai.OpenAI) -> None:
    ids = byte_tokenizer().encode("same")
    by_ids, by_text = (api.embeddings.create(model="tiny", input=given) for given in (ids, "same"))
    assert by_ids.data[0].embedding == by_text.data[0].embedding


@pytest.mark.parametrize(
    "change",
    [{"input": ""}, {"input": []}, {"input": ["a", ""]}, {"input": "x" * 3000}, {"input": [5000]}, {"dimensions": 8}],
)
def test_what_is_refused(running: Background, change: dict[str, object]) -> None:
    response = post(running, "/v1/embeddings", {"model": "tiny", "input": "x"} | change)
    assert response.status_code == 400, response.text


def test_a_full_cache_asks_to_come_back(tmp_path_factory: pytest.TempPathFactory) -> None:
    from tests.serving.live import tiny_server

    with tiny_server(tmp_path_factory.mktemp("small"), cache_bytes=40_000) as server:
        response = post(server, "/v1/embeddings", {"model": "tiny", "input": "x" * 500})
        assert response.status_code in (400, 429), response.text
