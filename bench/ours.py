"""Our side of the benchmarks of generation: one timed run, and the ways in which weights can be stored."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import torch
from torch import Tensor

from whetstone.engine.engine import Engine
from whetstone.engine.native import NativeRunner, supported
from whetstone.engine.protocol import Completion, Request, SamplingParams, TopLogprobs
from whetstone.engine.runners import MakeRunner
from whetstone.engine.step import BLOCK, Runner, Step
from whetstone.engine.torch_runner import TorchRunner
from whetstone.models.decoder import Decoder

CACHE_BYTES = 2 << 30
STORAGES = ("fp32", "bf16", "int8")


def has_kernel(model: Decoder) -> bool:
    """Whether the CPU kernel computes the steps, and not torch."""
    return supported(model) is None


def runners(model: Decoder) -> dict[str, MakeRunner]:
    """What computes the steps, by storage class: the CPU kernel's three; fp32 in torch where there is no kernel."""
    if not has_kernel(model):
        return {"fp32": TorchRunner}
    return {storage: partial(NativeRunner, storage=storage) for storage in STORAGES}


@dataclass(frozen=True)
class Timed:
    """One call: its seconds, and the tokens that went through the layers for it."""

    seconds: float
    computed: int


@dataclass
class _Clock:
    """Listens to a whole run."""

    sequences: int
    found: dict[int, Completion] = field(default_factory=dict)
    began: set[int] = field(default_factory=set)  # sequences that have a token
    tokens: int = 0

    @property
    def all_began(self) -> bool:
        return len(self.began) == self.sequences


@dataclass
class _Member:
    """What the engine tells of one request, whose sequences are numbered from `first` on."""

    clock: _Clock
    first: int

    def token(self, member: int, token: int, logprob: float, top: TopLogprobs | None) -> bool:
        self.clock.tokens += 1
        self.clock.began.add(self.first + member)
        return False

    def finished(self, member: int, completion: Completion) -> None:
        self.clock.found[self.first + member] = completion


@dataclass(frozen=True)
class Measured:
    """One run. `seconds`: all of it; `decode_seconds`: from the end of the step in which the last sequence got its
    first token, for the `decode_tokens` that were left then; `computed_tokens`: what went through the layers."""

    seconds: float
    decode_seconds: float
    decode_tokens: int
    computed_tokens: int
    completions: list[Completion]


def run(engine: Engine, requests: Sequence[Request], params: SamplingParams) -> Measured:
    """Complete the requests, prompts included: what an earlier run has left in the cache is forgotten first."""
    engine.pool.forget_all()
    computed = engine.stats.computed_tokens
    clock = _Clock(sum(len(request.seeds) for request in requests))
    begin = time.perf_counter()
    first = 0
    for request in requests:
        engine.add(request, params, _Member(clock, first))
        first += len(request.seeds)
    while not (engine.idle or clock.all_began):
        engine.step()
    middle, tokens = time.perf_counter(), clock.tokens
    while not engine.idle:
        engine.step()
    end = time.perf_counter()
    return Measured(
        end - begin,
        end - middle,
        clock.tokens - tokens,
        engine.stats.computed_tokens - computed,
        [clock.found[place] for place in range(clock.sequences)],
    )


@dataclass(frozen=True)
class Fidelity:
    """How far a distribution is from that of fp32, over tokens of own samples: mean KL(fp32 || other) in nats, and
    the share of places where both find the same token likeliest."""

    kl: float
    agreement: float
    places: int

    def __str__(self) -> str:
        return f"KL to fp32 {self.kl:.2g}, same likeliest token {self.agreement:.1%} of {self.places}"


def own_samples(engine: Engine, prompts: Sequence[Sequence[int]], tokens: int, seed: int = 1) -> list[list[int]]:
    """Each prompt with `tokens` tokens that the model itself says to it at temperature 1."""
    requests = [Request(tuple(prompt), (seed + place,)) for place, prompt in enumerate(prompts)]
    completions = engine.sample(requests, SamplingParams(tokens))
    return [[*prompt, *answer.ids] for prompt, [answer] in zip(prompts, completions, strict=True)]


def answer_logits(runner: Runner, sequence: Sequence[int], prompt_tokens: int) -> Tensor:
    """Logits [A, V] before each token of the answer, the sequence computed in one step."""
    length = len(sequence)
    blocks = np.arange(-(-length // BLOCK), dtype=np.int32)[None]
    places = np.arange(length)
    wanted = np.arange(prompt_tokens - 1, length - 1)
    step = Step(np.array(sequence, dtype=np.int64), places, np.zeros(length, dtype=np.int64), blocks, wanted)
    runner.refresh()
    with torch.inference_mode():
        return runner.run(step)


def fidelity(reference: Sequence[Tensor], other: Sequence[Tensor]) -> Fidelity:
    """Of logits [A, V] of the same answers."""
    kl, same, places = 0.0, 0, 0
    for sure_AV, its_AV in zip(reference, other, strict=True):
        sure_AV, its_AV = sure_AV.double().log_softmax(-1), its_AV.double().log_softmax(-1)
        kl += float((sure_AV.exp() * (sure_AV - its_AV)).sum())
        same += int((sure_AV.argmax(-1) == its_AV.argmax(-1)).sum())
        places += len(sure_AV)
    return Fidelity(kl / places, same / places, places)


def fidelities(model: Decoder, samples: Sequence[Sequence[int]], prompt_tokens: Sequence[int]) -> dict[str, Fidelity]:
    """Of every storage class but fp32, which torch computes here."""
    blocks = -(-max(map(len, samples)) // BLOCK)

    def logits(runner: Runner) -> list[Tensor]:
        return [answer_logits(runner, *each) for each in zip(samples, prompt_tokens, strict=True)]

    reference = logits(TorchRunner(model, blocks))
    return {
        storage: fidelity(reference, logits(make(model, blocks)))
        for storage, make in runners(model).items()
        if storage != "fp32"
    }
