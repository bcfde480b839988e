"""Cache blocks against a plain model of them: who holds what, what can be found, nothing lost."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from whetstone.engine.blocks import ROOT, BlockPool
from whetstone.engine.step import BLOCK

COUNT = 6


class Blocks(RuleBasedStateMachine):
    """Holders take chains of blocks, fill them with tokens of a small alphabet, share and release them."""

    def __init__(self) -> None:
        super().__init__()
        self.pool = BlockPool(COUNT, keep=3)
        self.holders: list[tuple[list[int], list[int], list[int]]] = []  # blocks, their serials, tokens
        self.contents: dict[int, tuple[int, ...]] = {}  # what was last written where, with all that came before

    @rule(extra=st.lists(st.integers(0, 1), max_size=3), tail=st.integers(1, BLOCK))
    def hold(self, extra: list[int], tail: int) -> None:
        tokens = [letter for letter in extra for _ in range(BLOCK)] + [9] * tail
        blocks, serials = self.pool.find(tokens)
        assert len(blocks) <= (len(tokens) - 1) // BLOCK
        for place, block in enumerate(blocks):
            assert self.contents[block] == tuple(tokens[: (place + 1) * BLOCK])
        while len(blocks) < len(extra):
            block = self.pool.take()
            if block is None:
                break
            place = len(blocks)
            blocks.append(block)
            self.contents[block] = tuple(tokens[: (place + 1) * BLOCK])
            before = serials[-1] if serials else ROOT
            serials.append(self.pool.register(block, before, tokens[place * BLOCK : (place + 1) * BLOCK]))
        self.holders.append((blocks, serials, tokens))

    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        if self.holders:
            blocks, _, _ = self.holders.pop(data.draw(st.integers(0, len(self.holders) - 1)))
            for block in blocks:
                self.pool.release(block)

    @rule(data=st.data())
    def share(self, data: st.DataObject) -> None:
        if self.holders:
            blocks, serials, tokens = self.holders[data.draw(st.integers(0, len(self.holders) - 1))]
            for block in blocks:
                self.pool.share(block)
            self.holders.append((list(blocks), list(serials), tokens))

    @rule()
    def forget(self) -> None:
        self.pool.forget_all()
        blocks, _ = self.pool.find([0] * (3 * BLOCK))
        assert blocks == []

    @invariant()
    def counts_agree(self) -> None:
        held = {block for blocks, _, _ in self.holders for block in blocks}
        assert self.pool.used == len(held)
        for block in held:
            owners = sum(blocks.count(block) for blocks, _, _ in self.holders)
            assert self.pool.shared(block) == (owners > 1)

    def teardown(self) -> None:
        for blocks, _, _ in self.holders:
            for block in blocks:
                self.pool.release(block)
        assert self.pool.used == 0
        taken = [self.pool.take() for _ in range(COUNT)]
        assert sorted(block for block in taken if block is not None) == list(range(COUNT))
        assert self.pool.take() is None


Blocks.TestCase.settings = settings(max_examples=80, stateful_step_count=30, deadline=None)
TestBlocks = Blocks.TestCase
