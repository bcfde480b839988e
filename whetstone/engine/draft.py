"""Guesses from a smaller model of the same vocabulary (Leviathan, Kalman and Matias 2023; Chen et al. 2023).

The draft model draws each guess as the target would: with the same parameters, constraint and random number
(`sampling.uniforms`). So a guess is right exactly where both models' inverse CDFs give the same token; of two equal
models every guess is. Its steps, cache and schedule are those of an engine (`Stepper`): every target branch has a
shadow branch there, whose tokens follow it and whose `draft` is what was guessed last.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from whetstone.engine.branch import Branch, Job
from whetstone.engine.lookahead import Lookahead
from whetstone.engine.pace import Pace
from whetstone.engine.runners import MakeRunner, runner_for
from whetstone.engine.sampling import Row, choose, uniforms
from whetstone.engine.speculate import Record
from whetstone.engine.stepper import Stepper
from whetstone.errors import UsageError
from whetstone.models.decoder import Decoder
from whetstone.models.tokenizer import Tokenizer

MOST = 8  # guesses in a row


def require_same_tokens(model: Tokenizer, draft: Tokenizer, name: str, draft_name: str) -> None:
    """Raises UsageError unless every token has the same id in both vocabularies."""
    ours, theirs = (each.core.get_vocab(with_added_tokens=True) for each in (model, draft))
    if ours != theirs:
        differing = sum(ours.get(token) != theirs.get(token) for token in ours.keys() | theirs.keys())
        raise UsageError(
            f"{draft_name} cannot draft for {name}: {differing} of their tokens are not the same; "
            "take a draft model of the same family, with the same tokenizer"
        )


@dataclass
class _Drafting:
    """One shadow branch in a round."""

    shadow: Branch
    wanted: int
    ahead: Lookahead
    over: bool = False

    def row(self, vocabulary: int) -> Row | None:
        """What decides over the next guess; None when the constraint leaves the draft model nothing to say."""
        shadow = self.shadow
        allowed_V = self.ahead.mask()
        if allowed_V is not None:
            allowed_V = allowed_V[:vocabulary]
        if self.ahead.stuck or (allowed_V is not None and not allowed_V.any()):
            self.over = True
            return None
        generated = [*shadow.generated, *shadow.draft] if shadow.params.edits else ()
        return Row(shadow.params, shadow.job.request.prompt_ids, generated, allowed_V)

    def take(self, token: int) -> None:
        """The next guess; one that would end the text is none, as nothing can come behind it."""
        self.over = token in self.shadow.params.stop_ids or not self.ahead.accept(token)
        if not self.over:
            self.shadow.draft.append(token)
            self.over = len(self.shadow.draft) == self.wanted


class Draft:
    """Guesses from `model`. See `Proposer`; one engine's own, as its cache and its pace are."""

    name = "draft"

    def __init__(
        self,
        model: Decoder,
        max_rows: int = 128,
        cache_bytes: int = 6 << 30,
        runner: MakeRunner | None = None,
        chunk: int | None = None,
        guesses: int | None = None,
    ) -> None:
        """`guesses`: how many in a row, at least 1; None: as many as pay (`pace`). The rest as `Engine` has it."""
        if guesses is not None and guesses < 1:
            raise ValueError("guesses is at least 1")
        self.stepper = Stepper(model, runner or runner_for(model), cache_bytes, max_rows, chunk)
        self.pace = Pace(MOST)
        self.guesses = guesses
        self._shadows: dict[Branch, Branch | None] = {}

    def propose(self, running: Sequence[Branch], record: Record) -> dict[Branch, list[int]]:
        targets = [branch for branch in running if branch.room]
        if not targets:
            return {}
        count = self.guesses or self.pace.count(len(targets), record.tallies[self.name].rate, record.steps)
        if not count:
            return {}
        self.stepper.renew()
        for branch in [*self._shadows, *(branch for branch in targets if branch not in self._shadows)]:
            self._follow(branch)
        drafting = {
            shadow: _Drafting(shadow, min(count, branch.room), Lookahead(branch.constraint))
            for branch in targets
            if (shadow := self._shadows[branch]) is not None
        }
        with torch.inference_mode():
            self._draft(drafting)
        shadows = {branch: self._shadows[branch] for branch in targets}
        return {branch: list(shadow.draft) for branch, shadow in shadows.items() if shadow is not None and shadow.draft}

    def forget(self, branch: Branch) -> None:
        shadow = self._shadows.pop(branch, None)
        if shadow is not None:
            self.stepper.scheduler.drop(shadow)

    def start_over(self) -> None:
        self.stepper.scheduler.start_over()

    def _draft(self, drafting: dict[Branch, _Drafting]) -> None:
        """One pass for whatever the shadows lack, prompts in chunks, and then one for each further guess."""
        scheduler = self.stepper.scheduler
        works = scheduler.plan()
        while works:
            began = time.perf_counter()
            ready, logits_MV = self.stepper.compute(works)
            going = [(place, drafting[shadow]) for place, shadow in enumerate(ready) if shadow in drafting]
            self._choose(going, logits_MV)
            if sum(work.count for work in works) <= 2 * len(works):  # a right guess and the token behind it are two
                self.pace.passes.note(len(works), time.perf_counter() - began)
            works = scheduler.plan_drafting([each.shadow for _, each in going if not each.over])

    def _choose(self, going: list[tuple[int, _Drafting]], logits_MV: Tensor) -> None:
        """Draw the next guess of each, from the row of logits that stands beside it."""
        rows = [(place, each, each.row(logits_MV.shape[1])) for place, each in going]
        asked = [(place, each, row) for place, each, row in rows if row is not None]
        if not asked:
            return
        chosen_MV = logits_MV if len(asked) == len(logits_MV) else logits_MV[[place for place, _, _ in asked]]
        shadows = [each.shadow for _, each, _ in asked]
        seeds = np.array([shadow.sequences[0].seed for shadow in shadows], dtype=np.uint64)
        places = np.array([shadow.said + len(shadow.draft) for shadow in shadows])
        choice = choose(
            chosen_MV,
            [row for _, _, row in asked],
            range(len(asked)),
            uniforms(seeds, places),
            self.stepper.runner.block_sums,
        )
        for (_, each, _), token in zip(asked, choice.ids_I.tolist(), strict=True):
            each.take(token)

    def _follow(self, branch: Branch) -> None:
        """Bring the branch's shadow to its tokens; what was computed for right guesses stays computed."""
        if branch not in self._shadows:
            self._shadows[branch] = None
            job, width = branch.job, self.stepper.model.config.vocab_size
            bias = {token: value for token, value in job.params.logit_bias.items() if token < width}
            params = replace(job.params, top_logprobs=0, logit_bias=bias)
            if self._can_follow(branch.ids, 0):
                shadow = Branch(Job(job.request, params, job.listener), list(branch.ids), branch.sequences[:1])
                self._shadows[branch] = shadow
                self.stepper.scheduler.waiting.append(shadow)
            return
        known = self._shadows[branch]
        if known is None:
            return
        before = len(known.ids)
        if not self._can_follow(branch.ids, before):
            self.forget(branch)
            self._shadows[branch] = None
            return
        right = 0
        for guess, token in zip(known.draft, branch.ids[before:], strict=False):
            if guess != token:
                break
            right += 1
        known.computed, known.draft = min(known.computed, before + right), []
        known.ids.extend(branch.ids[before:])
        known.sequences = branch.sequences[:1]

    def _can_follow(self, ids: Sequence[int], known: int) -> bool:
        """Whether the draft model has room for the tokens and guesses behind them, and knows those from `known` on."""
        fits = len(ids) + (self.guesses or self.pace.most) <= self.stepper.capacity
        return fits and max(ids[known:], default=0) < self.stepper.model.config.vocab_size
