"""Our side of the benchmarks of generation, and the bound that its speed is compared with."""

import math

import pytest
import torch

from bench import ours, roofline
from tests.tiny import tiny_model
from whetstone.engine.engine import Engine
from whetstone.engine.protocol import Request, SamplingParams
from whetstone.engine.torch_runner import TorchRunner
from whetstone.runs.machine import Speed

PROMPTS = [[7] * 20, [9] * 37]


def test_a_run_computes_its_prompts_again_and_knows_when_all_have_begun() -> None:
    engine = Engine(tiny_model(), max_rows=4, cache_bytes=1 << 22)
    requests = [Request(tuple(prompt), (1, 2)) for prompt in PROMPTS]
    runs = [ours.run(engine, requests, SamplingParams(6, 0.0)) for _ in range(2)]
    for run in runs:
        # greedy samples of one prompt are one branch: 57 prompt tokens and 5 tokens fed back in each of the two
        assert run.computed_tokens == 57 + 2 * 5
        assert [len(completion.ids) for completion in run.completions] == [6] * 4
        assert run.decode_tokens == 4 * 5 and 0 < run.decode_seconds < run.seconds
    assert runs[0].completions == runs[1].completions


def test_logits_of_an_answer_are_those_of_the_whole_text() -> None:
    model = tiny_model()
    engine = Engine(model, cache_bytes=1 << 22)
    samples = ours.own_samples(engine, PROMPTS, 9)
    for prompt, sample in zip(PROMPTS, samples, strict=True):
        assert sample[: len(prompt)] == prompt and len(sample) == len(prompt) + 9
        found = ours.answer_logits(TorchRunner(model, 8), sample, len(prompt))
        assert found.shape == (9, model.config.vocab_size)
        [[alone]] = engine.sample([Request(tuple(sample[:-1]), (0,))], SamplingParams(1, 0.0))
        assert int(found[-1].argmax()) == alone.ids[0]
        assert float(found[-1].log_softmax(-1).max()) == pytest.approx(alone.logprobs[0], abs=1e-4)


def test_fidelity_is_zero_for_equal_and_the_divergence_otherwise() -> None:
    sure, even = torch.tensor([[math.log(3.0), 0.0]]), torch.zeros(1, 2)
    assert ours.fidelity([sure], [sure + 5]).kl == pytest.approx(0, abs=1e-7)
    found = ours.fidelity([sure, sure], [even, sure.flip(-1)])
    one = 0.75 * math.log(1.5) + 0.25 * math.log(0.5)
    assert found.kl == pytest.approx((one + 0.5 * math.log(3)) / 2, rel=1e-6)
    assert found.places == 2 and found.agreement in (0.0, 0.5)


def test_the_bound_of_a_step_by_hand() -> None:
    model = tiny_model()
    layer = 32 * 48 + 2 * 32 * 24 + 48 * 32 + 3 * 32 * 48  # q, k and v, o, gate-up-down
    weights = 2 * layer + model.config.vocab_size * 32
    slow_reader, slow_computer = Speed(1e9, 1, 1e-9), Speed(1e-9, 1, 1e9)
    cache = 10 * 2 * 2 * 24 * 4  # positions, k and v, layers, width of all key heads, bytes
    read = roofline.step(model, "bf16", 3, 2, 10, 10, slow_reader)
    assert read.by == "bytes" and read.seconds == pytest.approx(2 * weights + cache)
    computed = roofline.step(model, "fp32", 3, 2, 10, 17, slow_computer)
    flop = 2 * (3 * 2 * layer + 2 * model.config.vocab_size * 32) + 4 * 2 * 48 * 17
    assert computed.by == "products" and computed.seconds == pytest.approx(flop)
    assert computed.share(2 * computed.seconds) == 0.5


def test_the_bound_of_a_run_is_the_sum_of_its_steps() -> None:
    model, speed = tiny_model(), Speed(3.0, 1.0, 2.0)
    steps = [roofline.step(model, "int8", 2, 2, 2 * seen, 2 * seen, speed).seconds for seen in (11, 12, 13)]
    first = roofline.step(model, "int8", 20, 2, 20, 2 * 55, speed).seconds
    assert roofline.run(model, "int8", 2, [10, 10], 4, speed).seconds == pytest.approx(first + sum(steps))
