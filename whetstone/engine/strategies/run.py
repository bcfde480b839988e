"""Runs a strategy on many questions in lockstep, so that the engine's batch stays full, and keeps the accounts."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from whetstone.engine.backends import Backend
from whetstone.engine.protocol import Request
from whetstone.engine.samples import CHUNK, Pool, Sample
from whetstone.engine.step import BLOCK
from whetstone.engine.strategies.spending import Prefixes, Spent, flops, prompt_flops
from whetstone.engine.strategies.strategy import Choice, Draw, Drawn, Question, Score, Steps, Strategy, candidate
from whetstone.models.config import ModelConfig

FAILED = ("refused", "timeout", "error")


@dataclass(frozen=True)
class Outcome:
    """What a strategy chose for one question and what that cost."""

    choice: Choice
    spent: Spent


@dataclass
class Account:
    """Counts what one question costs. `config`: the model's, for FLOPs; None where nobody knows it."""

    config: ModelConfig | None = None
    spent: Spent = field(default_factory=Spent)
    _seen: Prefixes = field(default_factory=Prefixes)

    def drawn(self, request: Request, samples: Sequence[Sample]) -> None:
        """One request's completions have come."""
        # whole blocks are found again, and the last token's logits are computed anyway
        known = min(self._seen.known(request.prompt_ids), max(0, len(request.prompt_ids) - 1)) // BLOCK * BLOCK
        new = len(request.prompt_ids) - known
        written = sum(sample.completion.length for sample in samples)
        counted = sum(sample.prompt_tokens or 0 for sample in samples)  # an endpoint's bill is the truth
        cost = 0.0
        if self.config is not None:
            cost = prompt_flops(self.config, new, known) + sum(
                # the last token is never read again
                flops(self.config, max(0, sample.completion.length - 1), len(request.prompt_ids))
                for sample in samples
            )
        self._seen.add(request.prompt_ids)
        for sample in samples:  # whose last token was never computed
            self._seen.add(request.prompt_ids + sample.completion.ids[:-1])
        self.spent += Spent(
            prompt_tokens=counted or new,
            cached_tokens=known + len(request.prompt_ids) * (len(samples) - 1),
            written_tokens=written,
            completions=len(samples),
            failed=sum(sample.completion.finish in FAILED for sample in samples),
            seconds=sum(sample.seconds for sample in samples),
            flops=cost,
        )

    def scored(self, tokens: int, cost: float, seconds: float) -> None:
        """A verifier has looked at this question's candidates."""
        self.spent += Spent(verifier_tokens=tokens, seconds=seconds, flops=cost)

    def waited(self) -> None:
        """One more round of asking, whatever was asked in it."""
        self.spent += Spent(rounds=1)


@dataclass
class _Running:
    question: Question
    steps: Steps
    account: Account
    wish: Draw | Score | None = None
    choice: Choice | None = None

    @property
    def wanted(self) -> int:
        """Completions that it waits for."""
        return sum(len(request.seeds) for request in self.wish.requests) if isinstance(self.wish, Draw) else 0

    def go_on(self, result: object) -> None:
        try:
            self.wish = self.steps.send(result)
        except StopIteration as end:
            self.wish, self.choice = None, end.value


def run(
    strategy: Strategy,
    questions: Sequence[Question],
    backend: Backend,
    pool: Pool,
    config: ModelConfig | None = None,
    progress: Callable[[int, int], None] | None = None,
    together: int = CHUNK,
) -> list[Outcome]:
    """Answer every question; outcomes in the questions' order. `progress` counts questions.

    A question is begun while those before it want fewer than `together` completions: that fills the engine's batch, and
    a cache still holds what a search of many rounds goes on from.

    Raises what the sampler and the verifiers raise; UsageError for a strategy that this backend cannot run.
    """
    running = [_Running(question, strategy.solve(question, backend), Account(config)) for question in questions]
    waiting = deque(running)
    open_ones: list[_Running] = []
    while open_ones or waiting:
        while waiting and sum(each.wanted for each in open_ones) < together:
            open_ones.append(waiting.popleft())
            open_ones[-1].go_on(None)
        if progress is not None:
            progress(len(running) - len(open_ones) - len(waiting), len(running))
        _draw([each for each in open_ones if isinstance(each.wish, Draw)], backend, pool)
        # whoever has drawn may want a score now: it joins those that wait for one
        _score([each for each in open_ones if isinstance(each.wish, Score)])
        open_ones = [each for each in open_ones if each.choice is None]
    if progress is not None:
        progress(len(running), len(running))
    return [Outcome(each.choice, each.account.spent) for each in running if each.choice is not None]


def _draw(wanting: list[_Running], backend: Backend, pool: Pool) -> None:
    left = wanting
    while left:
        first = left[0].wish
        assert isinstance(first, Draw)
        alike: list[_Running] = []
        others: list[_Running] = []
        for each in left:
            same = isinstance(each.wish, Draw) and each.wish.params == first.params
            (alike if same else others).append(each)
        left = others
        requests = [request for each in alike if isinstance(each.wish, Draw) for request in each.wish.requests]
        sampled = iter(pool.sample(requests, first.params))
        for each in alike:
            assert isinstance(each.wish, Draw)
            drawn: Drawn = []
            each.account.waited()
            for request in each.wish.requests:
                samples = next(sampled)
                each.account.drawn(request, samples)
                drawn.append([candidate(each.question, backend, request, one.completion) for one in samples])
            each.go_on(drawn)


def _score(wanting: list[_Running]) -> None:
    by_verifier: dict[int, list[_Running]] = {}
    for each in wanting:
        assert isinstance(each.wish, Score)
        by_verifier.setdefault(id(each.wish.verifier), []).append(each)
    for group in by_verifier.values():
        for each in group:
            assert isinstance(each.wish, Score)
            began = time.perf_counter()
            scores = each.wish.verifier.score(each.wish.candidates)
            each.account.scored(scores.tokens, scores.flops, time.perf_counter() - began)
            each.go_on(list(scores.values))
