"""One contract for everything that answers: the local engine, an endpoint asked by ids and by messages, and vLLM."""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.engine.remote.loopback import NAME, loopback
from tests.tiny import tiny_folder, tiny_model, tiny_tokenizer
from whetstone.engine.backends import Backend, Source
from whetstone.engine.engine import Engine
from whetstone.engine.protocol import Completion, Request, SamplingParams
from whetstone.engine.remote.endpoint import Endpoint
from whetstone.engine.vllm_backend import VllmEngine
from whetstone.errors import UsageError

NO_VLLM = "" if importlib.util.find_spec("vllm") else "vLLM is not installed here"
STOP = frozenset(range(1, 12))  # a random model of 84 tokens meets one of eleven every eight tokens or so
KINDS = (
    "local",
    "endpoint by ids",
    "endpoint by messages",
    pytest.param("vllm", marks=pytest.mark.skipif(bool(NO_VLLM), reason=NO_VLLM or "installed")),
)


@pytest.fixture(scope="module", params=KINDS)
def backend(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Backend]:
    match request.param:
        case "local":
            yield Backend(Engine(tiny_model(seed=3)), tiny_tokenizer())
        case "vllm":
            folder = tiny_folder(tmp_path_factory.mktemp("tiny"), seed=3)
            options = {} if torch.cuda.is_available() else {"dtype": "float32"}
            yield Backend(VllmEngine(folder, enforce_eager=True, max_model_len=256, **options), tiny_tokenizer())
        case kind:
            with loopback(stop=STOP) as server:
                tokenizer = tiny_tokenizer() if kind == "endpoint by ids" else None
                yield Backend(Endpoint(server.address, NAME), tokenizer)


def asked(backend: Backend, *groups: tuple[str, tuple[int, ...]]) -> list[Request]:
    requests = [backend.request([{"role": "user", "content": text}], seeds) for text, seeds in groups]
    # by ids alone: whoever has a tokenizer needs no messages
    return [Request(each.prompt_ids, each.seeds) if each.prompt_ids else each for each in requests]


def sample(backend: Backend, params: SamplingParams, *groups: tuple[str, tuple[int, ...]]) -> list[list[Completion]]:
    return backend.sampler.sample(asked(backend, *groups), params)


def content(completion: Completion) -> tuple[object, ...]:
    return completion.ids, completion.text, completion.finish


PARAMS = SamplingParams(12, 1.0, STOP)


def test_one_completion_per_seed_in_the_order_asked(backend: Backend) -> None:
    groups = (("first", (5, 6, 7)), ("second", ()), ("third one", (7,)), ("first", (9,)))
    found = sample(backend, PARAMS, *groups)
    assert [len(group) for group in found] == [3, 0, 1, 1]
    turned = sample(backend, PARAMS, *((text, seeds[::-1]) for text, seeds in groups[::-1]))
    assert [[content(each) for each in group[::-1]] for group in turned[::-1]] == [
        [content(each) for each in group] for group in found
    ]
    assert sample(backend, PARAMS) == []


def test_a_completion_depends_on_its_own_seed(backend: Backend) -> None:
    together = sample(backend, PARAMS, ("hello", tuple(range(8))))[0]
    apart = [sample(backend, PARAMS, ("hello", (seed,)))[0][0] for seed in (2, 5)]
    assert [content(each) for each in apart] == [content(together[2]), content(together[5])]
    assert len({content(each) for each in together}) >= 6, "eight seeds, hardly ever the same words"
    largest = sample(backend, PARAMS, ("hello", (2**64 - 1,)))[0][0]
    assert largest.finish in ("stop", "length")


def test_how_it_ends(backend: Backend) -> None:
    found = sample(backend, PARAMS, ("how does it end?", tuple(range(32))))[0]
    assert {each.finish for each in found} == {"stop", "length"}
    for each in found:
        assert 1 <= each.length <= 12 and (each.finish == "stop" or each.length == 12)
        if each.ids:
            assert len(each.ids) == each.length
            assert (each.ids[-1] in STOP) == (each.finish == "stop") and not STOP & set(each.ids[:-1])
        else:
            assert isinstance(each.text, str) and len(each.text) <= 12


def test_requests_of_one_call_may_have_less_room(backend: Backend) -> None:
    requests = asked(backend, ("how does it end?", tuple(range(8))))
    [whole], [short] = (
        backend.sampler.sample([replace(each, room=room) for each in requests], PARAMS) for room in (None, 3)
    )
    assert max(each.length for each in short) == 3
    together = backend.sampler.sample([*requests, *(replace(each, room=3) for each in requests)], PARAMS)
    assert [[content(each) for each in group] for group in together] == [
        [content(each) for each in group] for group in (whole, short)
    ]


def test_log_probabilities(backend: Backend) -> None:
    for temperature in (0.0, 0.7, 1.0):
        for each in sample(backend, SamplingParams(9, temperature, STOP), ("numbers", (1, 2, 3)))[0]:
            assert len(each.logprobs) == each.length
            assert all(math.isfinite(value) and value <= 0 for value in each.logprobs)
            assert each.weight_version == 0


def test_greedy_is_the_same_for_every_seed_and_every_time(backend: Backend) -> None:
    params = SamplingParams(10, 0.0, STOP)
    found = sample(backend, params, ("greedy", (1, 2, 2**63)), ("other", (0,)))
    assert len({content(each) for each in found[0]}) == 1
    again = sample(backend, params, ("other", (4,)), ("greedy", (3,)))
    assert content(again[1][0]) == content(found[0][0]) and content(again[0][0]) == content(found[1][0])


def test_progress(backend: Backend) -> None:
    seen: list[tuple[int, int]] = []
    requests = asked(backend, ("one", (1, 2, 3)), ("two", (4, 5)))
    backend.sampler.sample(requests, PARAMS, lambda done, wanted: seen.append((done, wanted)))
    assert seen[-1] == (5, 5) and [done for done, _ in seen] == sorted(done for done, _ in seen)


def test_nothing_to_answer_is_an_error_of_the_caller(backend: Backend) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        backend.sampler.sample([Request((), (1,))], PARAMS)


def test_by_ids_it_says_what_the_engine_says() -> None:
    local = Engine(tiny_model(seed=3))
    request = Request(tuple(tiny_tokenizer().chat_ids([{"role": "user", "content": "same?"}])), (1, 2, 3))
    with loopback(stop=STOP) as server:
        there = Endpoint(server.address, NAME).sample([request], PARAMS)[0]
    here = local.sample([request], PARAMS)[0]
    assert [each.ids for each in there] == [each.ids for each in here]
    assert [each.logprobs for each in there] == [pytest.approx(each.logprobs) for each in here]


@pytest.mark.skipif(not NO_VLLM, reason="vLLM is installed here")
def test_vllm_where_there_is_none(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"vLLM is not installed here .*leave out --backend vllm"):
        Source(str(tiny_folder(tmp_path / "tiny")), backend="vllm").open()
