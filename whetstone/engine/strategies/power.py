"""Power sampling: whole answers from p^alpha, by a Markov chain whose proposals rewrite an answer from some place on.

After Karan and Du 2025, arXiv 2510.14901, algorithm 1. Sharpening whole answers is not what a low temperature does,
which sharpens each token without looking at what may follow it.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Generator
from dataclasses import dataclass, field

from whetstone.engine.backends import Backend
from whetstone.engine.protocol import Completion, Request, SamplingParams
from whetstone.engine.strategies.chain import WRITTEN, require_ids
from whetstone.engine.strategies.growing import NOTHING, joined, number
from whetstone.engine.strategies.strategy import Choice, Draw, Question, Score, Steps, candidate, draw
from whetstone.errors import UsageError


@dataclass(frozen=True)
class Power:
    """One answer, after `steps` Metropolis-Hastings steps on each piece of `block` tokens and on the whole.

    A step takes a place of the answer at random, writes it anew from there at temperature 1/alpha, and keeps the new
    one with the probability that leaves p^alpha as it is (`log_acceptance`). While the answer has not ended it is
    lengthened by a block after each `steps` steps; once it has, the last `steps` steps may make it as long as the
    question's room. So their law tends to p^alpha over everything that fits into the room, where an answer that the
    room cuts counts by what was written of it. What the blocks before do is to find a good start.
    """

    name: str
    steps: int
    alpha: float = 4.0
    block: int = 16

    def solve(self, question: Question, backend: Backend) -> Steps:
        chain = _Chain(self, question, backend)
        length = 0
        while not chain.ended and length < question.room:
            if length:
                yield from chain.walk(length)
            if not chain.ended:
                length = min(length + self.block, question.room)
                yield from chain.lengthen(length)
        yield from chain.walk(question.room)
        end = candidate(question, backend, chain.start, chain.now)
        notes: dict[str, float | str] = {"accepted": chain.accepted / max(1, chain.proposed)}
        return Choice(end.text, end.answer, (end,), None, notes)


def log_acceptance(old: Completion, new: Completion, kept: int, alpha: float) -> float:
    """Log of the Metropolis-Hastings ratio for rewriting `old` as `new` behind the first `kept` tokens:
    alpha (log p(new) - log p(old)) - (log q(new) - log q(old)) + log |old| - log |new|.

    p is the model, q what was sampled from; both of the tokens behind `kept`, for the others cancel. The place is drawn
    evenly from those of the answer that there is, and a shorter answer has fewer: hence the lengths.
    """
    own = sum(_own_logprobs(new)[kept:]) - sum(_own_logprobs(old)[kept:])
    made = sum(new.logprobs[kept:]) - sum(old.logprobs[kept:])
    return alpha * own - made + math.log(len(old.ids)) - math.log(len(new.ids))


def _own_logprobs(completion: Completion) -> list[float]:
    """The model's log-probabilities of the tokens at temperature 1, in nats. Raises UsageError where none came."""
    if len(completion.top) != len(completion.ids):
        raise UsageError("this backend gives no log-probabilities at temperature 1, which this method needs")
    return [top.chosen for top in completion.top]


@dataclass
class _Chain:
    """One answer that changes. All its randomness is a hash of the question's seed and the place in the chain."""

    power: Power
    question: Question
    backend: Backend
    now: Completion = NOTHING
    proposed: int = 0
    accepted: int = 0
    start: Request = field(init=False)
    params: SamplingParams = field(init=False)

    def __post_init__(self) -> None:
        require_ids(self.backend, self.power.name)
        self.start = self.backend.request(list(self.question.prompts[0]), ())
        self.params = SamplingParams(self.question.room, 1 / self.power.alpha, self.backend.stop_ids, top_logprobs=1)

    @property
    def ended(self) -> bool:
        """Whether the answer has its end mark, or never came."""
        return self.now.finish != "length"

    def lengthen(self, length: int) -> Generator[Draw | Score, None, None]:
        """Go on to `length` tokens or the end mark."""
        self.now = yield from self._rewritten(len(self.now.ids), length, "more")

    def walk(self, length: int) -> Generator[Draw | Score, None, None]:
        """`steps` steps among answers of at most `length` tokens."""
        for step in range(self.power.steps if self.now.ids else 0):
            place = int(self._uniform("place", length, step) * len(self.now.ids))
            new = yield from self._rewritten(place, length, step)
            self.proposed += 1
            if new.finish not in WRITTEN:
                continue
            ratio = log_acceptance(self.now, new, place, self.power.alpha)
            if self._uniform("accept", length, step) < math.exp(min(0.0, ratio)):
                self.now = new
                self.accepted += 1

    def _rewritten(self, kept: int, length: int, step: int | str) -> Generator[Draw | Score, None, Completion]:
        seed = self.question.seed(number("power", length, step))
        request = Request(self.start.prompt_ids + self.now.ids[:kept], (seed,), room=length - kept)
        drawn = yield from draw([request], self.params)
        return joined(self.now, kept, drawn[0][0].completion)

    def _uniform(self, what: str, length: int, step: int) -> float:
        """From 0 to 1, 1 excluded."""
        seed = self.question.seed(number("power", what, length, step))
        digest = hashlib.sha256(seed.to_bytes(8, "big")).digest()
        return (int.from_bytes(digest[:8], "big") >> 11) * 2.0**-53
