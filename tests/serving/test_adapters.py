"""LoRA adapters: chosen by name, loaded, replaced and unloaded while others are served."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import torch

from tests.serving.live import CACHE, byte_folder, byte_model, byte_tokenizer, leaks, post, text_of, tiny_server, until
from tests.serving.test_lifecycle import LONG
from whetstone.engine.engine import Engine
from whetstone.engine.protocol import Request, SamplingParams
from whetstone.models.lora import apply_lora, load_adapter, lora_parameters, save_adapter
from whetstone.serving.server import Background

KEY = {"authorization": "Bearer k"}
LOAD, UNLOAD = "/v1/load_lora_adapter", "/v1/unload_lora_adapter"


def adapter(folder: Path, seed: int, base: str = "") -> Path:
    """An adapter that changes what the tiny model says."""
    model = apply_lora(byte_model(), rank=2, alpha=16, seed=seed)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in lora_parameters(model):
            parameter += torch.randn(parameter.shape, generator=generator)
    save_adapter(model, folder, base)
    return folder


def expected(folder: Path | None, tokens: int = 20) -> str:
    """What the engine says with that adapter."""
    model = byte_model() if folder is None else load_adapter(byte_model(), folder)
    request = Request(tuple(byte_tokenizer().encode("count")), (0,))
    params = SamplingParams(tokens, 0.0, byte_tokenizer().stop_ids)
    (((completion,),)) = Engine(model, cache_bytes=CACHE).sample([request], params)
    return text_of(completion)


def ask(running: Background, model: str) -> str:
    asked = {"model": model, "prompt": "count", "max_tokens": 20, "temperature": 0}
    response = post(running, "/v1/completions", asked, headers=KEY)
    assert response.status_code == 200, response.text
    text: str = response.json()["choices"][0]["text"]
    return text


@pytest.fixture
def folders(tmp_path: Path) -> list[Path]:
    return [adapter(tmp_path / f"adapter{seed}", seed) for seed in (1, 2)]


@pytest.fixture
def running(tmp_path: Path, folders: list[Path]) -> Iterator[Background]:
    with tiny_server(tmp_path, adapters={"first": str(folders[0])}, keys=("k",)) as server:
        yield server


def models(running: Background) -> dict[str, Any]:
    found = httpx.get(running.url + "/v1/models", headers=KEY).json()["data"]
    return {model["id"]: model for model in found}


def test_an_adapter_is_chosen_by_name(running: Background, folders: list[Path]) -> None:
    texts = [expected(None), expected(folders[0]), expected(folders[1])]
    assert len(set(texts)) == 3
    assert [ask(running, "tiny"), ask(running, "first"), ask(running, "tiny")] == [texts[0], texts[1], texts[0]]
    assert models(running)["first"]["parent"] == "tiny" and models(running)["tiny"]["parent"] is None


def test_it_shares_the_base_weights(running: Background) -> None:
    base, on_it = (running.server.state.models.get(name).loaded.model for name in ("tiny", "first"))
    own = dict(on_it.named_parameters())
    for name, parameter in base.named_parameters():
        assert own[name] is parameter
    assert not lora_parameters(base) and lora_parameters(on_it)


def test_loading_replacing_and_unloading(running: Background, folders: list[Path]) -> None:
    first, second = folders
    loaded = post(running, LOAD, {"lora_name": "new", "lora_path": str(first)}, headers=KEY)
    assert loaded.status_code == 200 and loaded.json()["weight_version"] == 0
    assert ask(running, "new") == expected(first)
    again = {"lora_name": "new", "lora_path": str(second)}
    assert post(running, LOAD, again, headers=KEY).status_code == 400
    replaced = post(running, LOAD, again | {"load_inplace": True}, headers=KEY)
    assert replaced.status_code == 200 and replaced.json()["weight_version"] == 1
    assert ask(running, "new") == expected(second)
    assert post(running, UNLOAD, {"lora_name": "new"}, headers=KEY).status_code == 200
    asked = {"model": "new", "prompt": "count"}
    assert post(running, "/v1/completions", asked, headers=KEY).status_code == 404
    assert list(models(running)) == ["tiny", "first"]
    until(lambda: len(running.server.state.service.engines) == 2)


def test_what_runs_on_a_replaced_adapter_finishes(tmp_path: Path, folders: list[Path]) -> None:
    with tiny_server(tmp_path, adapters={"a": str(folders[0])}, keys=("k",)) as running:
        old = running.server.state.models.get("a").engine
        asked = LONG | {"model": "a", "max_tokens": 300}
        http = httpx.Client(timeout=60, headers=KEY)
        with http, http.stream("POST", running.url + "/v1/completions", json=asked | {"stream": True}) as response:
            lines = response.iter_lines()
            next(lines)
            replace = {"lora_name": "a", "lora_path": str(folders[1]), "load_inplace": True}
            assert post(running, LOAD, replace, headers=KEY).status_code == 200
            assert not old.idle
            assert ask(running, "a") == expected(folders[1])
            assert list(lines)[-2] == "data: [DONE]"
        until(lambda: old not in running.server.state.service.engines)
        assert old.pool.used == 0 and leaks(running) == []


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"lora_path": "nowhere"}, 400),
        ({"lora_name": "tiny"}, 400),
        ({"lora_name": "tiny", "load_inplace": True}, 400),
        ({"lora_name": "a b"}, 400),
        ({"base_model": "other"}, 400),
        ({"base_model": "first"}, 400),
        ({"lora_name": ""}, 400),
        ({"odd": 1}, 400),
    ],
)
def test_what_is_refused(running: Background, folders: list[Path], change: dict[str, Any], status: int) -> None:
    asked = {"lora_name": "new", "lora_path": str(folders[0])} | change
    response = post(running, LOAD, asked, headers=KEY)
    assert response.status_code == status, response.text
    assert list(models(running)) == ["tiny", "first"]


def test_only_adapters_are_unloaded(running: Background) -> None:
    for name in ("tiny", "other"):
        assert post(running, UNLOAD, {"lora_name": name}, headers=KEY).status_code == 404
    assert post(running, UNLOAD, {"lora_name": "first"}).status_code == 401


def test_no_managing_without_keys(tmp_path: Path, folders: list[Path]) -> None:
    with tiny_server(tmp_path) as open_server:
        for path, asked in ((LOAD, {"lora_name": "a", "lora_path": str(folders[0])}), (UNLOAD, {"lora_name": "a"})):
            response = post(open_server, path, asked)
            assert response.status_code == 403 and response.json()["error"]["code"] == "key_required"


def test_with_several_models_the_base_is_told_or_known(tmp_path: Path) -> None:
    other = byte_folder(tmp_path / "other", seed=5)
    unclear = adapter(tmp_path / "unclear", 3)
    clear = adapter(tmp_path / "clear", 3, base=str(other))
    with tiny_server(tmp_path, f"other={other}", adapters={"clear": str(clear)}, keys=("k",)) as running:
        assert models(running)["clear"]["parent"] == "other"
        asked = {"lora_name": "unclear", "lora_path": str(unclear)}
        assert post(running, LOAD, asked, headers=KEY).status_code == 400
        told = post(running, LOAD, asked | {"base_model": "tiny"}, headers=KEY)
        assert told.status_code == 200 and told.json()["parent"] == "tiny"
