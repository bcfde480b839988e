"""Guessing next tokens, so that one step of the model can check several: who guesses, and what is known of it.

A guess costs a row of a step, and never changes the result: each guessed place is sampled with its own random number
as it would have been anyway, and guesses count only as far as they agree with what was sampled.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from whetstone.engine.branch import Branch
from whetstone.engine.pace import Times

LONGEST, SHORTEST = 3, 2
# Guessing from the text pays while a step's cost hardly grows with its rows.
LOOKUP_SEQUENCES, LOOKUP_GUESSES = 4, 4
EXPECTED, AS_IF = 0.7, 4  # the rate before anything is known, as if from so many guesses
MEMORY = 1 / 64  # least weight of one more guess in the rate


@dataclass
class Tally:
    """The guesses of one proposer. `accepted` ones each gave a token more than the step would have given without.

    `rate` is the share of right ones among those put to the test lately (behind a wrong guess nothing is tested).
    """

    proposed: int = 0
    accepted: int = 0
    rate: float = EXPECTED
    tested: int = 0

    def judged(self, proposed: int, tested: int, accepted: int) -> None:
        """One branch's guesses were checked; the first `accepted` of the `tested` ones were right."""
        self.proposed += proposed
        self.accepted += accepted
        for place in range(tested):
            self.tested += 1
            self.rate += max(MEMORY, 1 / (AS_IF + self.tested)) * ((place < accepted) - self.rate)


@dataclass
class Record:
    """What an engine knows of its own guessing: seconds of decoding steps by rows, and a tally for each proposer."""

    steps: Times = field(default_factory=Times)
    tallies: dict[str, Tally] = field(default_factory=dict)


class Proposer(Protocol):
    """Guesses how branches go on."""

    name: str

    def propose(self, running: Sequence[Branch], record: Record) -> dict[Branch, list[int]]:
        """Guesses for those of an engine's running branches that have room for some (`Branch.room`) and that it has
        an idea for, at most `room` tokens each."""
        ...

    def forget(self, branch: Branch) -> None:
        """The branch is over."""
        ...

    def start_over(self) -> None:
        """A step was interrupted: take nothing for computed."""
        ...


class PromptLookup:
    """Where each n-gram of a growing text last ended."""

    def __init__(self) -> None:
        self._ids: list[int] = []
        self._after: dict[tuple[int, ...], int] = {}

    def follow(self, ids: Sequence[int]) -> None:
        """The text is `ids` now, which begin with what it was. The n-grams that end before its last token become
        findable."""
        for token in ids[len(self._ids) :]:
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


class Lookup:
    """Guesses from the text itself (prompt lookup; Saxena 2023) while few sequences run: an n-gram that stood here
    before. See `Proposer`."""

    name = "lookup"

    def __init__(self) -> None:
        self._texts: dict[Branch, PromptLookup] = {}

    def propose(self, running: Sequence[Branch], record: Record) -> dict[Branch, list[int]]:
        found: dict[Branch, list[int]] = {}
        if sum(len(branch.sequences) for branch in running) > LOOKUP_SEQUENCES:
            return found
        for branch in running:
            if branch.room:
                text = self._texts.setdefault(branch, PromptLookup())
                text.follow(branch.ids)
                if guess := text.propose(min(LOOKUP_GUESSES, branch.room)):
                    found[branch] = guess
        return found

    def forget(self, branch: Branch) -> None:
        self._texts.pop(branch, None)

    def start_over(self) -> None:
        pass  # a text is no matter of steps
