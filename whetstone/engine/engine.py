"""The local engine: requests join and leave a running batch, and what they share is computed once.

It samples from the module that the trainer updates (DESIGN law 1), notices when its weights change, and then computes
again what it had cached. The result of a request does not depend on what else runs beyond float noise, and on the
native runner not even on that.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Sequence as Many
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from whetstone.engine.blocks import BlockPool
from whetstone.engine.branch import Branch, Job, Listener, Sequence
from whetstone.engine.protocol import Completion, Finish, Progress, Request, SamplingParams, TopLogprobs
from whetstone.engine.runners import MakeRunner, runner_for
from whetstone.engine.sampling import Choice, Row, choose, uniforms
from whetstone.engine.scheduler import Scheduler, as_step
from whetstone.engine.speculate import PromptLookup
from whetstone.engine.step import BLOCK
from whetstone.errors import WorkFailed
from whetstone.models.decoder import Decoder

_log = logging.getLogger(__name__)

CHUNK = {"cpu": 512, "cuda": 8192}  # tokens of prompts in one step
# Guessing pays while a step's cost hardly grows with its rows.
GUESSING_BRANCHES, GUESSES = 4, 4


@dataclass
class Stats:
    """Counts since the engine was made. A branch's token counts once in `computed`, however many sequences share it."""

    requests: int = 0
    completions: int = 0
    prompt_tokens: int = 0
    generated_tokens: int = 0
    computed_tokens: int = 0
    cached_tokens: int = 0
    guessed_tokens: int = 0
    guessed_right: int = 0
    preemptions: int = 0
    steps: int = 0
    seconds: float = 0.0


class Engine:
    """Samples from `model` in place. `weight_version` is stamped on each completion; the trainer counts it up."""

    def __init__(
        self,
        model: Decoder,
        max_rows: int = 128,
        cache_bytes: int = 6 << 30,
        runner: MakeRunner | None = None,
        guess: bool = False,
        chunk: int | None = None,
    ) -> None:
        """`runner(model, blocks)` computes the steps (by default the one that suits the model); `guess` turns prompt
        lookup on for small batches."""
        self.model = model
        self.weight_version = 0
        self.guess = guess
        self.stats = Stats()
        per_token = model.config.kv_bytes_per_token * model.compute_dtype.itemsize // 4
        blocks = max(2, cache_bytes // (per_token * BLOCK))
        self.runner = (runner or runner_for(model))(model, blocks)
        self.pool = BlockPool(blocks)
        tokens = CHUNK.get(model.device.type, CHUNK["cpu"]) if chunk is None else chunk
        self.scheduler = Scheduler(self.pool, self.runner.copy_block, max_rows, tokens)

    @property
    def idle(self) -> bool:
        """Whether nothing is left to do."""
        return self.scheduler.idle

    @property
    def capacity(self) -> int:
        """Tokens that one request may have, prompt and answer together: positions of the model, and the cache."""
        return min(self.model.config.max_positions, self.pool.count * BLOCK)

    def check(self, request: Request, params: SamplingParams) -> None:
        """Raises ValueError for an empty prompt, an unknown token, no seed, or a request that could never fit."""
        if not request.prompt_ids or not request.seeds or params.max_new_tokens < 1:
            raise ValueError("every request needs a token and a seed, and max_new_tokens must be at least 1")
        if not 0 <= min(request.prompt_ids) <= max(request.prompt_ids) < self.model.config.vocab_size:
            raise ValueError(f"token ids go from 0 to {self.model.config.vocab_size - 1}")
        room = len(request.prompt_ids) + params.max_new_tokens
        if room > self.pool.count * BLOCK:
            raise ValueError(f"the request may take {room} tokens, but the cache holds {self.pool.count * BLOCK}")

    def add(self, request: Request, params: SamplingParams, listener: Listener) -> Job:
        """Queue one request; `step` does the work and `listener` hears of it. Raises ValueError as `check` does."""
        self.check(request, params)
        job = Job(request, params, listener)
        self.stats.requests += 1
        self.stats.prompt_tokens += len(request.prompt_ids)
        sequences = [Sequence(job, member, seed) for member, seed in enumerate(request.seeds)]
        for first in range(0, len(sequences), self.scheduler.max_rows):
            branch = Branch(job, list(request.prompt_ids), sequences[first : first + self.scheduler.max_rows])
            branch.constraint = None if params.constraint is None else params.constraint.fork()
            branch.lookup = PromptLookup(request.prompt_ids) if self._may_guess(params) else None
            self.scheduler.waiting.append(branch)
        return job

    def cancel(self, job: Job) -> None:
        """Nobody wants the request's answers any more: its sequences end as "cancelled", now."""
        self._end([branch for branch in self.scheduler.branches if branch.job is job], "cancelled")

    def cancel_all(self, finish: Finish) -> None:
        """End everything, and forget what is cached: a step may have failed half-way."""
        self._end(self.scheduler.branches, finish)
        self.pool.forget_all()

    def step(self) -> bool:
        """Compute one step and tell the listeners; False when there was nothing to do.

        Raises WorkFailed for a model whose output is not a number.
        """
        began = time.perf_counter()
        if self.scheduler.idle:
            return False
        if self.runner.refresh():
            self.scheduler.start_over()
        self._guess()
        works = self.scheduler.plan()
        step = as_step(works)
        with torch.inference_mode():
            logits_MV = self.runner.run(step)
        self.stats.steps += 1
        self.stats.computed_tokens += step.rows
        self.stats.cached_tokens, self.stats.preemptions = BLOCK * self.pool.hits, self.scheduler.preempted
        ready = [work.branch for work in works if work.ready]
        if ready:
            with torch.inference_mode():
                self._choose(ready, logits_MV)
        self.stats.seconds += time.perf_counter() - began
        return True

    def sample(
        self, requests: Many[Request], params: SamplingParams, progress: Progress | None = None
    ) -> list[list[Completion]]:
        """See `Sampler.sample`. Raises ValueError for an empty prompt or a request that could never fit, WorkFailed
        for a model whose output is not a number."""
        collector = _Collector(requests, progress)
        jobs = []
        try:
            for place, request in enumerate(requests):
                if request.seeds:
                    jobs.append(self.add(request, params, collector.of(place)))
            while collector.missing:
                self.step()
        except BaseException:
            for job in jobs:
                self.cancel(job)
            raise
        return collector.completions

    def _may_guess(self, params: SamplingParams) -> bool:
        return self.guess and not params.edits

    def _guess(self) -> None:
        running = self.scheduler.running
        few = sum(len(branch.sequences) for branch in running) <= GUESSING_BRANCHES
        for branch in running:
            branch.draft = []
            left = branch.params.max_new_tokens - len(branch.generated)
            if few and branch.lookup is not None and branch.computed == len(branch.ids) - 1 and left > 1:
                branch.draft = branch.lookup.propose(min(GUESSES, left - 1))
                self.stats.guessed_tokens += len(branch.draft)

    def _choose(self, ready: list[Branch], logits_MV: Tensor) -> None:
        """Sample for every sequence of every ready branch, then let the branches grow, fork and end."""
        rows: list[Row] = []
        row_of_I: list[int] = []
        items: list[Sequence] = []
        places: list[int] = []
        stuck: set[Branch] = set()
        for branch in ready:
            allowed = self._allowed(branch, stuck)
            said = branch.generated
            for guessed in range(len(branch.draft) + 1):
                row_of_I += [len(rows)] * len(branch.sequences)
                places += [len(said) + guessed] * len(branch.sequences)
                items += branch.sequences
                rows.append(Row(branch.params, branch.job.request.prompt_ids, said, allowed))
        seeds = np.array([sequence.seed for sequence in items], dtype=np.uint64)
        choice = choose(logits_MV, rows, row_of_I, uniforms(seeds, np.array(places)), self.runner.block_sums)
        chosen = _Chosen(choice, row_of_I, choice.ids_I.tolist(), choice.logprobs_I.tolist())
        first = 0
        for branch in ready:
            count = len(branch.sequences)
            spans = [first + count * guessed for guessed in range(len(branch.draft) + 1)]
            first += count * len(spans)
            if branch in stuck:
                self._end([branch], "error")
            else:
                self._grow(branch, spans, chosen)

    @staticmethod
    def _allowed(branch: Branch, stuck: set[Branch]) -> np.ndarray | None:
        """What the branch's constraint allows. One that fails, or allows nothing, ends its own branch only."""
        if branch.constraint is None:
            return None
        try:
            allowed = branch.constraint.mask()
        except Exception as error:
            _log.warning("a constraint failed: %s", error)
            allowed = np.zeros(0, dtype=bool)
        if allowed.any():
            return allowed
        stuck.add(branch)
        return None

    def _grow(self, branch: Branch, spans: list[int], chosen: _Chosen) -> None:
        """Give the branch's sequences their tokens; with guesses, as long as all of them agree with the guess."""
        draft, branch.draft = branch.draft, []
        total = len(branch.sequences) * len(spans)
        branch.computed = len(branch.ids)
        for guessed, span in enumerate(spans):
            followers: dict[int, list[Sequence]] = {}
            for sequence, item in zip(branch.sequences, range(span, span + len(branch.sequences)), strict=True):
                if self._give(sequence, item, chosen):
                    followers.setdefault(chosen.ids[item], []).append(sequence)
            if not followers:
                self.scheduler.drop(branch)
                return
            tokens = list(followers)
            for token in tokens[1:]:
                child = branch.fork(followers[token])
                self.scheduler.fork(branch, child)
                self._append(child, token)
            branch.sequences = followers[tokens[0]]
            if not self._append(branch, tokens[0]):
                return
            together = len(branch.sequences) * len(spans) == total  # the items of the next guess are in this order
            if not together or guessed == len(draft) or draft[guessed] != tokens[0]:
                return
            branch.computed += 1
            self.stats.guessed_right += 1

    def _append(self, branch: Branch, token: int) -> bool:
        """Add the token to the branch; False when its constraint does not take it, which ends the branch."""
        try:
            branch.append(token)
        except Exception as error:
            _log.warning("a constraint failed: %s", error)
            self._end([branch], "error")
            return False
        return True

    def _give(self, sequence: Sequence, item: int, chosen: _Chosen) -> bool:
        """Append one token to a sequence; whether it goes on."""
        token, logprob = chosen.ids[item], chosen.logprobs[item]
        if math.isnan(logprob):
            raise WorkFailed("the model's output is not a number: its weights are damaged, or training diverged")
        params = sequence.job.params
        sequence.ids.append(token)
        sequence.logprobs.append(logprob)
        top = chosen.choice.top_of(chosen.rows[item], token)
        if top is not None:
            sequence.top.append(top)
        self.stats.generated_tokens += 1
        stopped = sequence.job.listener.token(sequence.member, token, logprob, top) or token in params.stop_ids
        if not stopped and len(sequence.ids) < params.max_new_tokens:
            return True
        self._finish(sequence, "stop" if stopped else "length")
        return False

    def _finish(self, sequence: Sequence, finish: Finish) -> None:
        self.stats.completions += 1
        sequence.job.listener.finished(sequence.member, sequence.completion(finish, self.weight_version))

    def _end(self, branches: Many[Branch], finish: Finish) -> None:
        for branch in branches:
            self.scheduler.drop(branch)
            for sequence in branch.sequences:
                self._finish(sequence, finish)


@dataclass
class _Chosen:
    """What was sampled, by item."""

    choice: Choice
    rows: list[int]
    ids: list[int]
    logprobs: list[float]


class _Collector:
    """Gathers the completions of a call of `sample`."""

    def __init__(self, requests: Many[Request], progress: Progress | None) -> None:
        self._found: list[list[Completion | None]] = [[None] * len(request.seeds) for request in requests]
        self._progress = progress
        self._wanted = self.missing = sum(len(each) for each in self._found)

    def of(self, place: int) -> Listener:
        """What listens to request number `place`."""
        return _Member(self, place)

    def finished(self, place: int, member: int, completion: Completion) -> None:
        self._found[place][member] = completion
        self.missing -= 1
        if self._progress is not None and completion.finish != "cancelled":
            self._progress(self._wanted - self.missing, self._wanted)

    @property
    def completions(self) -> list[list[Completion]]:
        return [[each for each in found if each is not None] for found in self._found]


@dataclass
class _Member:
    collector: _Collector
    place: int

    def token(self, member: int, token: int, logprob: float, top: TopLogprobs | None) -> bool:
        return False

    def finished(self, member: int, completion: Completion) -> None:
        self.collector.finished(self.place, member, completion)
