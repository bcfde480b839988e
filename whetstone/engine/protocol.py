"""What every source of completions has in common (DESIGN: Sampler, Completion)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

Finish = Literal["stop", "length"]


@dataclass(frozen=True)
class Request:
    """One prompt and a 64-bit seed for each completion wanted of it; a completion depends on its own seed only."""

    prompt_ids: tuple[int, ...]
    seeds: tuple[int, ...]


@dataclass(frozen=True)
class SamplingParams:
    """`temperature` 0 is greedy. Nothing truncates the distribution: a truncated one biases the policy ratio."""

    max_new_tokens: int
    temperature: float = 1.0
    stop_ids: frozenset[int] = frozenset()


@dataclass(frozen=True)
class Completion:
    """What the model wrote. `ids` include the stop id where there is one; `logprobs` are of the distribution that
    was sampled (for greedy: of the model at temperature 1), in nats, one per id."""

    ids: tuple[int, ...]
    logprobs: tuple[float, ...]
    finish: Finish
    weight_version: int


Progress = Callable[[int, int], None]  # completions done, completions wanted


class Sampler(Protocol):
    """Anything that turns prompts into completions."""

    def sample(
        self, requests: Sequence[Request], params: SamplingParams, progress: Progress | None = None
    ) -> list[list[Completion]]:
        """One list per request, one completion per seed, in the order asked."""
        ...
