"""Who computes what in the next step: first come, first served, as far as rows and cache blocks reach.

Running branches go on first: those that need one token, then prompts in chunks. New ones are admitted when their
prompt fits. When blocks run out the youngest branch gives its own back and waits at the front of the queue; its tokens
are computed again later, to the same bits where the runner is independent of the batch.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from whetstone.engine.blocks import ROOT, BlockPool
from whetstone.engine.branch import Branch
from whetstone.engine.step import BLOCK, Step


@dataclass(frozen=True)
class Work:
    """`count` tokens of a branch from place `start` on; `ready`: its next token can be chosen then."""

    branch: Branch
    start: int
    count: int

    @property
    def ready(self) -> bool:
        return self.branch.computed == len(self.branch.ids) + len(self.branch.draft)

    @property
    def wanted(self) -> int:
        """Whose logits are wanted when it is ready: the last of its tokens, or all where some of them are guessed (then
        at most one is certain, see `Branch.room`)."""
        return self.count if self.branch.draft else 1


class Scheduler:
    """Holds all branches. `max_rows` bounds the sequences that run, `chunk` the tokens of prompts in one step."""

    def __init__(self, pool: BlockPool, copy_block: Callable[[int, int], None], max_rows: int, chunk: int) -> None:
        self.pool, self.max_rows, self.chunk = pool, max_rows, chunk
        self._copy_block = copy_block
        self.waiting: deque[Branch] = deque()
        self.running: list[Branch] = []  # oldest first
        self.preempted = 0
        self.found_blocks = 0  # that admitted branches had not to compute

    @property
    def idle(self) -> bool:
        return not self.waiting and not self.running

    @property
    def branches(self) -> list[Branch]:
        """All of them, running and waiting."""
        return [*self.running, *self.waiting]

    def plan(self) -> list[Work]:
        """Decide the next step, take the blocks for it and count its tokens as computed."""
        preempted = self.preempted
        works: dict[Branch, Work] = {}
        left = self.chunk
        for decoding in (True, False):
            for branch in [b for b in self.running if (b.computed >= len(b.ids) - 1) is decoding]:
                if not branch.table:
                    continue  # pushed out a moment ago: whoever runs holds a block
                if branch.draft and not self._extend(branch, branch.missing):
                    branch.draft = []  # a guess is not worth pushing anybody out
                count = branch.missing if decoding else min(branch.missing, left)
                if count and self._make_room(branch, count, works):
                    works[branch] = Work(branch, branch.computed, count)
                    left -= 0 if decoding else count
        for work in works.values():
            self._computed(work)
        while self.waiting and left > 0 and self.preempted == preempted:
            admitted = self._admit(left)
            if admitted is None:
                break
            works[admitted.branch] = admitted
            left -= admitted.count
        return list(works.values())

    def plan_drafting(self, branches: list[Branch]) -> list[Work]:
        """A step for these running branches and the tokens drafted behind them alone. Nobody is pushed out for it:
        whoever finds no free block is left out."""
        works = [
            Work(branch, branch.computed, branch.missing)
            for branch in branches
            if branch.missing and self._extend(branch, branch.missing)
        ]
        for work in works:
            self._computed(work)
        return works

    def drop(self, branch: Branch) -> None:
        """The branch is over, wherever it stands."""
        if branch in self.running:
            self.running.remove(branch)
        else:
            self.waiting.remove(branch)
        self._give_back(branch)

    def fork(self, parent: Branch, child: Branch) -> None:
        """`child` has its parent's blocks; it runs right behind it."""
        for block in child.table:
            self.pool.share(block)
        self.running.insert(self.running.index(parent) + 1, child)

    def start_over(self) -> None:
        """Weights changed: whatever was computed is computed again."""
        self.pool.forget_all()
        for branch in reversed(self.running):
            self._give_back(branch)
            self.waiting.appendleft(branch)
        self.running.clear()

    def _admit(self, left: int) -> Work | None:
        branch = self.waiting[0]
        rows = sum(len(running.sequences) for running in self.running) + len(branch.sequences)
        if self.running and rows > self.max_rows:
            return None
        branch.table, branch.serials = self.pool.find(branch.ids)
        branch.computed = BLOCK * len(branch.table)
        # One block of slack for each running branch, so that admitting one does not at once push out another. Somebody
        # else than branches may hold blocks too.
        if branch.blocks_for(len(branch.ids) + 1) + len(self.running) > self.pool.available:
            self._give_back(branch)
            return None
        self.found_blocks += len(branch.table)
        if branch.job.cached_tokens is None:
            branch.job.cached_tokens = branch.computed
        self.waiting.popleft()
        self.running.append(branch)
        work = Work(branch, branch.computed, min(branch.missing, left))
        roomy = self._extend(branch, work.count)
        assert roomy
        self._computed(work)
        return work

    def _make_room(self, branch: Branch, count: int, works: dict[Branch, Work]) -> bool:
        """Blocks for `count` more tokens, pushing out the youngest; False when the branch itself had to go."""
        while not self._extend(branch, count):
            youngest = self.running[-1]
            works.pop(youngest, None)
            self._preempt(youngest)
            if youngest is branch:
                return False
        return True

    def _preempt(self, branch: Branch) -> None:
        self.running.remove(branch)
        self._give_back(branch)
        self.waiting.appendleft(branch)
        self.preempted += 1

    def _give_back(self, branch: Branch) -> None:
        for block in branch.table:
            self.pool.release(block)
        branch.table, branch.serials, branch.computed, branch.draft = [], [], 0, []

    def _extend(self, branch: Branch, count: int) -> bool:
        """Take what `count` more tokens need; what was taken stays with the branch when it was not enough."""
        for place in range(branch.computed // BLOCK, len(branch.table)):  # those that will be written to
            if self.pool.shared(branch.table[place]):
                own = self.pool.take()
                if own is None:
                    return False
                self._copy_block(branch.table[place], own)
                self.pool.release(branch.table[place])
                branch.table[place] = own
        for _ in range(branch.blocks_for(branch.computed + count)):
            block = self.pool.take()
            if block is None:
                return False
            branch.table.append(block)
        return True

    def _computed(self, work: Work) -> None:
        """Count the work as done and make its full blocks findable, for others in this very step too."""
        branch = work.branch
        branch.computed += work.count
        certain = min(branch.computed, len(branch.ids))  # guesses are not contents
        for place in range(len(branch.serials), certain // BLOCK):
            before = branch.serials[-1] if branch.serials else ROOT
            tokens = branch.ids[place * BLOCK : (place + 1) * BLOCK]
            branch.serials.append(self.pool.register(branch.table[place], before, tokens))


def as_step(works: list[Work]) -> Step:
    """The arrays of a plan."""
    rows = sum(work.count for work in works)
    ids, positions, owner = (np.empty(rows, dtype=np.int64) for _ in range(3))
    tables = np.full((len(works), max(len(work.branch.table) for work in works)), -1, dtype=np.int32)
    wanted: list[int] = []
    first = 0
    for place, work in enumerate(works):
        branch, here = work.branch, slice(first, first + work.count)
        tables[place, : len(branch.table)] = branch.table
        owner[here] = place
        if work.count == 1:
            behind = work.start - len(branch.ids)
            ids[first] = branch.ids[work.start] if behind < 0 else branch.draft[behind]
            positions[first] = work.start
        else:
            ids[here] = (branch.ids + branch.draft)[work.start : work.start + work.count]
            positions[here] = np.arange(work.start, work.start + work.count)
        first += work.count
        if work.ready:
            wanted.extend(range(first - work.wanted, first))
    return Step(ids, positions, owner, tables, np.array(wanted, dtype=np.int64))
