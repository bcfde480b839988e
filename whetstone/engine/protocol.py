"""What every source of completions has in common (DESIGN: Sampler, Completion)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, Protocol

import numpy as np

from whetstone.tasks.task import Message

# "cancelled": whoever asked no longer wants it. "error": a constraint that allows nothing, or an endpoint that failed.
# Of endpoints only: "refused" (a filter or a refusal), "timeout" (the answer never came).
Finish = Literal["stop", "length", "cancelled", "refused", "timeout", "error"]


@dataclass(frozen=True)
class Request:
    """One prompt and a 64-bit seed for each completion wanted of it; a completion depends on its own seed only.

    `messages` are what the ids were rendered from. A backend that has no tokenizer of the model is asked by messages,
    and `prompt_ids` may be empty then. `room`: tokens that its completions may take, where that is fewer than the
    parameters allow; so requests with different room can share a batch.
    """

    prompt_ids: tuple[int, ...]
    seeds: tuple[int, ...]
    messages: tuple[Message, ...] = field(default=(), hash=False)
    room: int | None = None

    def limited(self, params: SamplingParams) -> SamplingParams:
        """The parameters as they hold for this request."""
        if self.room is None or self.room >= params.max_new_tokens:
            return params
        return replace(params, max_new_tokens=self.room)


class Constraint(Protocol):
    """Which tokens may come next (structured output): call `mask`, choose, `accept`, and so on. One object follows one
    text. What it raises ends that text only."""

    def mask(self) -> np.ndarray:
        """Boolean [V], V at most the logits' width: True where the token is allowed; stop tokens where the text may end
        there."""
        ...

    def accept(self, token: int) -> None:
        """Go on with that token, which `mask` allowed."""
        ...

    def fork(self) -> Constraint:
        """An independent copy in the same state."""
        ...


@dataclass(frozen=True)
class SamplingParams:
    """How tokens are chosen. The defaults sample the model's own distribution: training needs it whole, for a
    truncated one biases the policy ratio.

    `temperature` 0 is greedy, and so is one so small that logits would overflow.
    `top_k` 0, `top_p` 1 and `min_p` 0 truncate nothing. `repetition_penalty` divides the
    positive and multiplies the negative logits of tokens in prompt or answer (Keskar et al. 2019); `presence_penalty`
    and `frequency_penalty` are OpenAI's, over the answer. `logit_bias` is added last. `top_logprobs`: how many
    alternatives to report for each token. `constraint` is the state before the answer's first token.
    """

    max_new_tokens: int
    temperature: float = 1.0
    stop_ids: frozenset[int] = frozenset()
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    logit_bias: Mapping[int, float] = field(default_factory=dict)
    top_logprobs: int = 0
    constraint: Constraint | None = None

    def __post_init__(self) -> None:
        steering = (self.presence_penalty, self.frequency_penalty, *self.logit_bias.values())
        limits = {
            "temperature must be from 0 (greedy) to 100": 0 <= self.temperature <= 100,
            # beyond that a logit of an unharmed model could become infinite, and its probability no number
            "penalties and biases must be between -1e30 and 1e30": all(abs(value) <= 1e30 for value in steering),
            "top_k must be 0 (off) or more": self.top_k >= 0,
            "top_p must be above 0 and at most 1": 0 < self.top_p <= 1,
            "min_p must be from 0 to 1": 0 <= self.min_p <= 1,
            "repetition_penalty must be from 0.01 to 100": 0.01 <= self.repetition_penalty <= 100,
            "top_logprobs must be 0 or more": self.top_logprobs >= 0,
        }
        for rule, kept in limits.items():
            if not kept:
                raise ValueError(rule)

    @property
    def greedy(self) -> bool:
        """Whether the likeliest token is taken."""
        return self.temperature < 1e-4

    @property
    def edits(self) -> bool:
        """Whether logits are changed by what was said before, or by the caller."""
        penalised = self.repetition_penalty != 1 or self.presence_penalty != 0 or self.frequency_penalty != 0
        return penalised or bool(self.logit_bias) or self.constraint is not None

    @property
    def truncates(self) -> bool:
        """Whether tokens of the tail can never be chosen."""
        return not self.greedy and (self.top_k > 0 or self.top_p < 1 or self.min_p > 0)


@dataclass(frozen=True)
class TopLogprobs:
    """The model's own distribution at one place, at temperature 1 and before anything else: the likeliest `ids` with
    their log-probabilities, and that of the token that was chosen. Nats."""

    ids: tuple[int, ...]
    logprobs: tuple[float, ...]
    chosen: float


@dataclass(frozen=True)
class Completion:
    """What the model wrote. `ids` include the stop id where there is one; `logprobs` are of the distribution that
    was sampled before its tail was cut (for greedy: of the model at temperature 1), in nats, one per id.

    A backend that gives text instead of ids fills `text` (without the end mark) and `token_count`; its `logprobs` are
    one per token, or empty.
    """

    ids: tuple[int, ...]
    logprobs: tuple[float, ...]
    finish: Finish
    weight_version: int
    top: tuple[TopLogprobs, ...] = ()  # one per id where they were asked for
    text: str | None = None
    token_count: int | None = None

    @property
    def length(self) -> int:
        """How many tokens were written, the end mark included where it is known."""
        return len(self.ids) if self.token_count is None else self.token_count


Progress = Callable[[int, int], None]  # completions done, completions wanted


class Sampler(Protocol):
    """Anything that turns prompts into completions."""

    def sample(
        self, requests: Sequence[Request], params: SamplingParams, progress: Progress | None = None
    ) -> list[list[Completion]]:
        """One list per request, one completion per seed, in the order asked."""
        ...
