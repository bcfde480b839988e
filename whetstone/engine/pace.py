"""How many tokens to draft: as many as measured times and the measured rate of right guesses say that it pays.

Of k guesses that are each right with probability a, as long as those before it are, a step of the model makes
1 + a + ... + a^k tokens of each branch (Leviathan, Kalman and Matias 2023, equation 1). It costs the time of a step of
k + 1 rows for each branch and of k passes of the draft model; without guesses, that of one row for each branch.
"""

from __future__ import annotations

from bisect import bisect_left, insort

QUICKER, SLOWER = 0.5, 0.1  # weight of a new time: the least is the truth, what is above it may be somebody else's load
GAIN = 1.03  # guesses that win less than this are not worth it
FIRST = 4  # guesses in a trial
LOOK_AGAIN, SELDOM = 64, 2048  # rounds until what is not done any more is tried again: at first, and at the most


class Times:
    """Seconds of a step by how many rows it has, from those that were measured."""

    def __init__(self) -> None:
        self._seconds: dict[int, float] = {}
        self._rows: list[int] = []

    def note(self, rows: int, seconds: float) -> None:
        """A step of so many rows took so long."""
        known = self._seconds.get(rows)
        if known is None:
            insort(self._rows, rows)
            self._seconds[rows] = seconds
        else:
            self._seconds[rows] += (QUICKER if seconds < known else SLOWER) * (seconds - known)

    @property
    def measured(self) -> bool:
        """Whether any step was."""
        return bool(self._rows)

    def knows(self, rows: int) -> bool:
        """Whether a step of exactly so many rows was measured."""
        return rows in self._seconds

    def of(self, rows: int) -> float:
        """Seconds of a step of `rows` rows: between measured ones by a straight line, above the largest in proportion
        to its rows, below the smallest as that. Raises LookupError when nothing was measured."""
        if not self._rows:
            raise LookupError("no step was measured yet")
        place = bisect_left(self._rows, rows)
        if place == len(self._rows):
            return self._seconds[self._rows[-1]] * rows / self._rows[-1]
        above = self._rows[place]
        if above == rows or place == 0:
            return self._seconds[above]
        below = self._rows[place - 1]
        share = (rows - below) / (above - below)
        return (1 - share) * self._seconds[below] + share * self._seconds[above]


def best_count(rate: float, steps: Times, passes: Times, branches: int, most: int) -> int:
    """The number of guesses, 0 to `most`, that gives the most tokens a second; 0 unless it wins `GAIN`."""
    best, best_speed = 0, GAIN / steps.of(branches)
    tokens = power = 1.0
    for count in range(1, most + 1):
        power *= rate
        tokens += power
        speed = tokens / (steps.of(branches * (count + 1)) + count * passes.of(branches))
        if speed > best_speed:
            best, best_speed = count, speed
    return best


class Pace:
    """Decides for each round, and now and then tries what it thinks does not pay: what was measured grows old."""

    def __init__(self, most: int) -> None:
        """`most`: guesses in a round."""
        self.most = most
        self.passes = Times()  # of the draft model, by branches
        self._quiet = self._until_trial = LOOK_AGAIN
        self._left_plain: set[int] = set()

    def count(self, branches: int, rate: float, steps: Times) -> int:
        """How many tokens to draft for each of so many branches in this round."""
        if not steps.measured or not (steps.knows(branches) or branches in self._left_plain):
            self._left_plain.add(branches)  # once: then it should be known, but others may have guesses for this step
            return 0
        trial = min(FIRST, self.most)
        if not self.passes.measured:
            return trial
        best = best_count(rate, steps, self.passes, branches, self.most)
        self._until_trial -= 1
        if best:
            self._quiet = LOOK_AGAIN
            if self._until_trial > 0:
                return best
            self._until_trial = self._quiet
            return 0
        if self._until_trial > 0:
            return 0
        self._quiet = min(2 * self._quiet, SELDOM)
        self._until_trial = self._quiet
        return trial
