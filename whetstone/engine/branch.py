"""What the scheduler moves about: branches of tokens, and the sequences that follow them.

Sequences of one request that have chosen the same tokens so far are one branch: its next token is computed once for
all of them. When they choose differently the branch forks, and the forks share the cache blocks of their past.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from whetstone.engine.protocol import Completion, Constraint, Finish, Request, SamplingParams, TopLogprobs
from whetstone.engine.step import BLOCK


class Listener(Protocol):
    """Hears of every token of a request's sequences, in the engine's thread."""

    def token(self, member: int, token: int, logprob: float, top: TopLogprobs | None) -> bool:
        """Sequence number `member` of the request got a token. True: stop it here (say, at a stop string)."""
        ...

    def finished(self, member: int, completion: Completion) -> None:
        """That sequence is over."""
        ...


@dataclass(eq=False)
class Job:
    """One request with its parameters, as long as any of its sequences runs."""

    request: Request
    params: SamplingParams
    listener: Listener
    cached_tokens: int | None = None  # of the prompt, found computed when the job was first admitted


@dataclass(eq=False)
class Sequence:
    """One completion in the making."""

    job: Job
    member: int
    seed: int
    ids: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    top: list[TopLogprobs] = field(default_factory=list)

    def completion(self, finish: Finish, weight_version: int) -> Completion:
        return Completion(tuple(self.ids), tuple(self.logprobs), finish, weight_version, tuple(self.top))


@dataclass(eq=False)
class Branch:
    """Tokens and the cache of the first `computed` of them."""

    job: Job
    ids: list[int]
    sequences: list[Sequence]
    table: list[int] = field(default_factory=list)
    serials: list[int] = field(default_factory=list)  # of the full blocks whose contents are registered
    computed: int = 0
    constraint: Constraint | None = None
    draft: list[int] = field(default_factory=list)  # guessed next tokens, to be checked in one step
    proposer: str = ""  # who guessed them

    @property
    def params(self) -> SamplingParams:
        return self.job.params

    @property
    def prompt_tokens(self) -> int:
        return len(self.job.request.prompt_ids)

    @property
    def said(self) -> int:
        """How many tokens the answer has so far."""
        return len(self.ids) - self.prompt_tokens

    @property
    def generated(self) -> list[int]:
        """The answer's tokens so far."""
        return self.ids[self.prompt_tokens :]

    @property
    def room(self) -> int:
        """How many guesses can be checked in the next step: none before the prompt is computed, none behind others, and
        none beyond the token before the last, as the last place is chosen anyway."""
        ready = not self.draft and self.computed == len(self.ids) - 1
        return max(0, self.params.max_new_tokens - self.said - 1) if ready else 0

    @property
    def missing(self) -> int:
        """Tokens that must be computed before the next one can be chosen, guessed ones included."""
        return len(self.ids) + len(self.draft) - self.computed

    def blocks_for(self, tokens: int) -> int:
        """How many more blocks the branch needs to hold `tokens` tokens."""
        return -(-tokens // BLOCK) - len(self.table)

    def append(self, token: int) -> None:
        """The token that the branch's sequences chose."""
        self.ids.append(token)
        if self.constraint is not None:
            self.constraint.accept(token)

    def fork(self, sequences: list[Sequence]) -> Branch:
        """A branch with the same past for some of the sequences; the caller shares the blocks."""
        return Branch(
            job=self.job,
            ids=list(self.ids),
            sequences=sequences,
            table=list(self.table),
            serials=list(self.serials),
            computed=self.computed,
            constraint=None if self.constraint is None else self.constraint.fork(),
        )
