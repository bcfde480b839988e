"""The pool that all methods of one model share, and what became of its requests."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from whetstone.engine.protocol import Progress, Request, SamplingParams
from whetstone.engine.samples import Pool, Sample
from whetstone.engine.strategies.run import FAILED


@dataclass
class SharedPool(Pool):
    """`top_logprobs`: what the most curious verifier wants to know of each token of an answer in `room` tokens at
    `temperature`; whoever draws such answers gets it, for otherwise the same sample would be drawn twice. `failures`
    counts completions that never came; `show` is told of each drawing."""

    top_logprobs: int = 0
    room: int = 0
    temperature: float = 1.0
    failures: Counter[str] = field(default_factory=Counter)
    show: Progress | None = None

    def sample(
        self, requests: Sequence[Request], params: SamplingParams, progress: Progress | None = None
    ) -> list[list[Sample]]:
        if (params.max_new_tokens, params.temperature) == (self.room, self.temperature):
            params = replace(params, top_logprobs=max(params.top_logprobs, self.top_logprobs))
        sampled = super().sample(requests, params, progress or self.show)
        finishes = (sample.completion.finish for group in sampled for sample in group)
        self.failures.update(finish for finish in finishes if finish in FAILED)
        return sampled
