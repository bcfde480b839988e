"""Guessing the next tokens from the text itself (prompt lookup; Saxena 2023): an n-gram that stood here before.

A guess costs a row of a small step, and never changes the result: each guessed place is sampled with its own random
number as it would have been anyway, and guesses count only as far as they agree with what was sampled.
"""

from __future__ import annotations

from collections.abc import Sequence

LONGEST, SHORTEST = 3, 2


class PromptLookup:
    """Where each n-gram of a growing text last ended."""

    def __init__(self, ids: Sequence[int]) -> None:
        self._ids: list[int] = []
        self._after: dict[tuple[int, ...], int] = {}
        for token in ids:
            self.append(token)

    def append(self, token: int) -> None:
        """The text goes on. The n-grams that end before this token become findable."""
        for n in range(SHORTEST, LONGEST + 1):
            if len(self._ids) >= n:
                self._after[tuple(self._ids[-n:])] = len(self._ids)
        self._ids.append(token)

    def propose(self, most: int) -> list[int]:
        """At most `most` tokens that followed the longest n-gram at the end when it last stood elsewhere."""
        for n in range(LONGEST, SHORTEST - 1, -1):
            place = self._after.get(tuple(self._ids[-n:]))
            if place is not None and len(self._ids) >= n:
                return self._ids[place : place + most]
        return []
