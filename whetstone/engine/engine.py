"""The local engine: requests join and leave a running batch, and what they share is computed once.

It samples from the module that the trainer updates (DESIGN law 1), notices when its weights change, and then computes
again what it had cached. The result of a request does not depend on what else runs beyond float noise, and on the
native runner not even on that.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from collections.abc import Sequence as Many
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from whetstone.engine.branch import Branch, Job, Listener, Sequence
from whetstone.engine.collect import Collector
from whetstone.engine.lookahead import Lookahead, OwnFailure
from whetstone.engine.protocol import Completion, Finish, Progress, Request, SamplingParams
from whetstone.engine.runners import MakeRunner, runner_for
from whetstone.engine.sampling import Choice, Row, choose, uniforms
from whetstone.engine.speculate import Proposer, Record, Tally
from whetstone.engine.step import BLOCK
from whetstone.engine.stepper import Stepper
from whetstone.errors import WorkFailed
from whetstone.models.decoder import Decoder


@dataclass
class Stats:
    """Counts since the engine was made. A branch's token counts once in `computed`, however many sequences share it."""

    requests: int = 0
    completions: int = 0
    prompt_tokens: int = 0
    generated_tokens: int = 0
    computed_tokens: int = 0
    cached_tokens: int = 0
    preemptions: int = 0
    steps: int = 0
    seconds: float = 0.0
    guesses: Mapping[str, Tally] = field(default_factory=dict)  # by proposer


class Engine:
    """Samples from `model` in place. `weight_version` is stamped on each completion; the trainer counts it up."""

    def __init__(
        self,
        model: Decoder,
        max_rows: int = 128,
        cache_bytes: int = 6 << 30,
        runner: MakeRunner | None = None,
        proposers: Many[Proposer] = (),
        chunk: int | None = None,
    ) -> None:
        """`max_rows`: sequences that run at once; `chunk`: tokens of prompts in one step; both at least 1.

        `runner(model, blocks)` computes the steps (by default the one that suits the model). `proposers` guess tokens;
        the first that has an idea for a branch is followed. They are this engine's own."""
        self.model = model
        self.weight_version = 0
        self.proposers = tuple(proposers)
        self.record = Record(tallies={proposer.name: Tally() for proposer in self.proposers})
        self.stats = Stats(guesses=self.record.tallies)
        self._stepper = Stepper(model, runner or runner_for(model), cache_bytes, max_rows, chunk)
        self.runner, self.pool, self.scheduler = self._stepper.runner, self._stepper.pool, self._stepper.scheduler

    @property
    def idle(self) -> bool:
        """Whether nothing is left to do."""
        return self.scheduler.idle

    @property
    def capacity(self) -> int:
        """Tokens that one request may have, prompt and answer together: positions of the model, and the cache."""
        return self._stepper.capacity

    def check(self, request: Request, params: SamplingParams) -> None:
        """Raises ValueError for an empty prompt, an unknown token, no seed or one that is no 64-bit number, and for a
        request that the cache could never hold."""
        params = request.limited(params)
        if not request.prompt_ids or not request.seeds or params.max_new_tokens < 1:
            raise ValueError("every request needs a token and a seed, and max_new_tokens must be at least 1")
        if not 0 <= min(request.seeds) <= max(request.seeds) < 2**64:
            raise ValueError("seeds go from 0 to 2**64 - 1")
        known = range(self.model.config.vocab_size)
        if not all(token in known for token in (*request.prompt_ids, *params.logit_bias)):
            raise ValueError(f"token ids go from 0 to {len(known) - 1}")
        room = len(request.prompt_ids) + params.max_new_tokens
        if room > self.pool.count * BLOCK:
            raise ValueError(f"the request may take {room} tokens, but the cache holds {self.pool.count * BLOCK}")

    def add(self, request: Request, params: SamplingParams, listener: Listener) -> Job:
        """Queue one request; `step` does the work and `listener` hears of it. Raises ValueError as `check` does."""
        self.check(request, params)
        params = request.limited(params)
        job = Job(request, params, listener)
        sequences = [Sequence(job, member, seed) for member, seed in enumerate(request.seeds)]
        most = self.scheduler.max_rows
        branches = [
            Branch(job, list(request.prompt_ids), sequences[first : first + most])
            for first in range(0, len(sequences), most)
        ]
        for branch in branches:
            branch.constraint = None if params.constraint is None else params.constraint.fork()
        self.scheduler.waiting.extend(branches)
        self.stats.requests += 1
        self.stats.prompt_tokens += len(request.prompt_ids)
        return job

    def cancel(self, job: Job) -> None:
        """Nobody wants the request's answers any more: its sequences end as "cancelled", now."""
        self._end([branch for branch in self.scheduler.branches if branch.job is job], "cancelled")

    def cancel_all(self, finish: Finish) -> None:
        """End everything, and forget what is cached: a step may have failed half-way."""
        self._end(self.scheduler.branches, finish)
        self.pool.forget_all()
        for proposer in self.proposers:
            proposer.start_over()

    def step(self) -> bool:
        """Compute one step and tell the listeners; False when there was nothing to do, or no room to do it in now.

        Raises WorkFailed for a model whose output is not a number. Whatever interrupts a step, nothing that was only
        planned is taken for computed afterwards.
        """
        if self.scheduler.idle:
            return False
        began = time.perf_counter()
        try:
            return self._step()
        except BaseException:
            self.scheduler.start_over()
            for proposer in self.proposers:
                proposer.start_over()
            raise
        finally:
            self.stats.seconds += time.perf_counter() - began

    def _step(self) -> bool:
        self._stepper.renew()
        self._guess()
        works = self.scheduler.plan()
        if not works:
            return False
        rows = sum(work.count for work in works)
        decoding = all(work.count == work.wanted and work.ready for work in works)
        self.stats.steps += 1
        self.stats.computed_tokens += rows
        self.stats.cached_tokens = BLOCK * self.scheduler.found_blocks
        self.stats.preemptions = self.scheduler.preempted
        began = time.perf_counter()
        with torch.inference_mode():
            ready, logits_MV = self._stepper.compute(works)
            if ready:
                self._choose(ready, logits_MV)
        if decoding:
            self.record.steps.note(rows, time.perf_counter() - began)
        return True

    def sample(
        self, requests: Many[Request], params: SamplingParams, progress: Progress | None = None
    ) -> list[list[Completion]]:
        """See `Sampler.sample`. Raises ValueError for an empty prompt or a request that could never fit, WorkFailed
        for a model whose output is not a number."""
        collector = Collector(requests, progress)
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

    def _guess(self) -> None:
        running = self.scheduler.running
        for branch in running:
            branch.draft = []
        for proposer in self.proposers:
            for branch, guess in proposer.propose(running, self.record).items():
                branch.draft, branch.proposer = self._useful(branch, guess), proposer.name

    def _useful(self, branch: Branch, guess: list[int]) -> list[int]:
        """What of a guess could help: nothing from a token on that ends the answer or that this model does not have."""
        ends = (
            place
            for place, token in enumerate(guess)
            if token in branch.params.stop_ids or token >= self.model.config.vocab_size
        )
        return guess[: next(ends, len(guess))]

    def _choose(self, ready: list[Branch], logits_MV: Tensor) -> None:
        """Sample for every sequence of every ready branch, then let the branches grow, fork and end."""
        rows: list[Row] = []
        row_of_I: list[int] = []
        items: list[Sequence] = []
        places: list[int] = []
        stuck: set[Branch] = set()
        spans: dict[Branch, list[int]] = {}  # of each branch: the first item of each place that can be reached
        for branch in ready:
            masks = self._masks(branch, logits_MV.shape[1])
            if not masks:
                stuck.add(branch)
            spans[branch] = []
            end = len(rows) + len(branch.draft) + 1
            for guessed, mask in enumerate(masks or [None]):
                spans[branch].append(len(items))
                row_of_I += [len(rows)] * len(branch.sequences)
                places += [branch.said + guessed] * len(branch.sequences)
                items += branch.sequences
                generated = [*branch.generated, *branch.draft[:guessed]] if branch.params.edits else ()
                rows.append(Row(branch.params, branch.job.request.prompt_ids, generated, mask))
            rows += [_UNREACHED] * (end - len(rows))
        seeds = np.array([sequence.seed for sequence in items], dtype=np.uint64)
        choice = choose(logits_MV, rows, row_of_I, uniforms(seeds, np.array(places)), self.runner.block_sums)
        chosen = _Chosen(choice, row_of_I, choice.ids_I.tolist(), choice.logprobs_I.tolist())
        for branch in ready:
            if branch in stuck:
                self._end([branch], "error")
            else:
                self._check(branch, spans[branch], chosen)

    @staticmethod
    def _masks(branch: Branch, vocabulary: int) -> list[np.ndarray | None]:
        """What the branch's constraint allows next and behind each guess, up to the first one that it does not allow.

        Nothing for a constraint that fails or allows nothing, which ends its own branch only; where it does so behind
        guesses, that shows when they have become tokens."""
        ahead = Lookahead(branch.constraint)
        masks: list[np.ndarray | None] = []
        for token in [*branch.draft, None]:
            mask = ahead.mask()
            if ahead.stuck or (mask is not None and len(mask) > vocabulary):
                break
            masks.append(mask)
            if token is None or not ahead.accept(token):
                break
        return masks

    def _check(self, branch: Branch, spans: list[int], chosen: _Chosen) -> None:
        """Let the branch grow and count which of its guesses were right."""
        draft, branch.draft = branch.draft, []
        tested, accepted = self._grow(branch, draft[: len(spans) - 1], spans, chosen)
        if draft:
            self.record.tallies[branch.proposer].judged(len(draft), tested, accepted)

    def _grow(self, branch: Branch, draft: list[int], spans: list[int], chosen: _Chosen) -> tuple[int, int]:
        """Give the branch's sequences their tokens; with guesses, as long as all of them agree with the guess.

        Returns how many guesses were put to the test, and how many of them gave a further token."""
        total = len(branch.sequences) * len(spans)
        branch.computed = len(branch.ids)
        for guessed, span in enumerate(spans):
            followers: dict[int, list[Sequence]] = {}
            for sequence, item in zip(branch.sequences, range(span, span + len(branch.sequences)), strict=True):
                if self._give(sequence, item, chosen):
                    followers.setdefault(chosen.ids[item], []).append(sequence)
            if not followers:
                self._drop(branch)
                return guessed, guessed
            tokens = list(followers)
            for token in tokens[1:]:
                self._fork(branch, followers[token], token)
            branch.sequences = followers[tokens[0]]
            if not self._append(branch, tokens[0]) or guessed == len(draft):
                return guessed, guessed
            together = len(branch.sequences) * len(spans) == total  # the items of the next guess are in this order
            if not together or draft[guessed] != tokens[0]:
                return guessed + 1, guessed
            branch.computed += 1
        raise AssertionError("there is one place more than there are guesses")

    def _fork(self, parent: Branch, sequences: list[Sequence], token: int) -> None:
        child: Branch | None = None
        with OwnFailure():
            child = parent.fork(sequences)
        if child is None:
            for sequence in sequences:
                self._finish(sequence, "error")
            return
        self.scheduler.fork(parent, child)
        self._append(child, token)

    def _append(self, branch: Branch, token: int) -> bool:
        """Add the token to the branch; False when its constraint does not take it, which ends the branch."""
        with OwnFailure():
            branch.append(token)
            return True
        self._end([branch], "error")
        return False

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
            self._drop(branch)
            for sequence in branch.sequences:
                self._finish(sequence, finish)

    def _drop(self, branch: Branch) -> None:
        self.scheduler.drop(branch)
        for proposer in self.proposers:
            proposer.forget(branch)


# decides over logits that nobody will look at: they stand behind a guess that its constraint does not allow
_UNREACHED = Row(SamplingParams(1, temperature=0.0), (), ())


@dataclass
class _Chosen:
    """What was sampled, by item."""

    choice: Choice
    rows: list[int]
    ids: list[int]
    logprobs: list[float]
