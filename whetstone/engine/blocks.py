"""Cache blocks: who holds them, which can be found again by their contents, which may be given away.

A full block is known by its tokens and all tokens before them. The key is the pair (serial of the block before, its
own tokens), compared in full, so no collision can hand one prompt the cache of another.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

from whetstone.engine.step import BLOCK

_Key = tuple[int, tuple[int, ...]]
ROOT = 0  # the serial before the first block


class BlockPool:
    """Counts references to `count` blocks; keeps at most `keep` unreferenced ones findable."""

    def __init__(self, count: int, keep: int | None = None) -> None:
        self.count = count
        self.keep = count // 4 if keep is None else keep
        # the most recently freed block goes first: its memory is warm, and untouched memory stays untouched
        self._free = list(range(count - 1, -1, -1))
        self._references = [0] * count
        self._block_of: dict[_Key, int] = {}
        self._key_of: dict[int, _Key] = {}
        self._serial_of: dict[int, int] = {}
        self._last_serial = ROOT
        self._retained: OrderedDict[int, None] = OrderedDict()

    @property
    def available(self) -> int:
        """Blocks that `take` can give."""
        return len(self._free) + len(self._retained)

    @property
    def used(self) -> int:
        """Blocks that somebody holds."""
        return self.count - self.available

    def take(self) -> int | None:
        """A block for one holder, None when all are held; forgets the longest unused contents where it must."""
        if not self._free:
            if not self._retained:
                return None
            self._forget(next(iter(self._retained)))
        block = self._free.pop()
        self._references[block] = 1
        return block

    def share(self, block: int) -> None:
        """One more holder."""
        self._retained.pop(block, None)
        self._references[block] += 1

    def shared(self, block: int) -> bool:
        """Whether it has several holders: then nobody may write to it."""
        return self._references[block] > 1

    def release(self, block: int) -> None:
        """One holder less."""
        self._references[block] -= 1
        if self._references[block]:
            return
        if block not in self._key_of:
            self._free.append(block)
            return
        self._retained[block] = None
        if len(self._retained) > self.keep:
            self._forget(next(iter(self._retained)))

    def register(self, block: int, before: int, tokens: Sequence[int]) -> int:
        """Make a full block findable; returns the serial of its contents. `before`: the serial of the one before."""
        key = (before, tuple(tokens))
        known = self._block_of.get(key)
        if known is not None:
            return self._serial_of[known]
        self._last_serial += 1
        self._block_of[key], self._key_of[block], self._serial_of[block] = block, key, self._last_serial
        return self._last_serial

    def find(self, tokens: Sequence[int]) -> tuple[list[int], list[int]]:
        """The longest run of known full blocks that begins `tokens`, leaving at least the last token to compute:
        blocks (each with one holder more) and their serials."""
        blocks: list[int] = []
        serials: list[int] = []
        before = ROOT
        for start in range(0, len(tokens) - BLOCK, BLOCK):
            block = self._block_of.get((before, tuple(tokens[start : start + BLOCK])))
            if block is None:
                break
            self.share(block)
            before = self._serial_of[block]
            blocks.append(block)
            serials.append(before)
        return blocks, serials

    def forget_all(self) -> None:
        """No contents can be found any more: the weights that made them are gone."""
        for block in list(self._key_of):
            self._forget(block)

    def _forget(self, block: int) -> None:
        del self._block_of[self._key_of.pop(block)], self._serial_of[block]
        if block in self._retained:
            del self._retained[block]
            self._free.append(block)
