"""What every source of completions has in common (DESIGN: Sampler, Completion)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from whetstone.tasks.task import Message

# Of endpoints only: "refused" (a filter or a refusal), "timeout" and "error" (the answer never came).
Finish = Literal["stop", "length", "refused", "timeout", "error"]


@dataclass(frozen=True)
class Request:
    """One prompt and a 64-bit seed for each completion wanted of it; a completion depends on its own seed only.

    `messages` are what the ids were rendered from. A backend that has no tokenizer of the model is asked by messages,
    and `prompt_ids` may be empty then.
    """

    prompt_ids: tuple[int, ...]
    seeds: tuple[int, ...]
    messages: tuple[Message, ...] = field(default=(), hash=False)


@dataclass(frozen=True)
class SamplingParams:
    """`temperature` 0 is greedy. Nothing truncates the distribution: a truncated one biases the policy ratio."""

    max_new_tokens: int
    temperature: float = 1.0
    stop_ids: frozenset[int] = frozenset()


@dataclass(frozen=True)
class Completion:
    """What the model wrote. `ids` include the stop id where there is one; `logprobs` are of the distribution that
    was sampled (for greedy: of the model at temperature 1), in nats, one per id.

    A backend that gives text instead of ids fills `text` (without the end mark) and `token_count`; its `logprobs` are
    one per token, or empty.
    """

    ids: tuple[int, ...]
    logprobs: tuple[float, ...]
    finish: Finish
    weight_version: int
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
