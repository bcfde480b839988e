"""When a vote may stop before all samples are drawn, and what that can cost.

The rule is adaptive-consistency's (Aggarwal et al. 2023, arXiv 2305.11860): stop when the leader of the vote is likely
enough to be the model's most frequent answer, the two leading ones seen as a coin with a uniform prior. Its cost
against the vote over all samples is bounded here without any prior: the samples of a question are exchangeable, so
given what all of them say, every order in which they come is equally likely, and the orders in which a loser is far
ahead for a while can be counted.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Sequence
from functools import cache

import numpy as np

from whetstone.engine.selection import totals
from whetstone.errors import UsageError

MOST_SAMPLES = 256  # the bound's work grows with their cube
NEVER = 2.0  # a threshold that no probability reaches


@cache
def ahead(first: int, second: int) -> float:
    """The probability that a coin that gave `first` heads and `second` tails prefers heads, the prior uniform: the
    integral of Beta(first + 1, second + 1) above 1/2, by the recurrence of the incomplete Beta function,
    I_x(p, q) = x I_x(p - 1, q) + (1 - x) I_x(p, q - 1)."""
    if first < 0 or second < 0:
        return float(second < 0)
    return (ahead(first - 1, second) + ahead(first, second - 1)) / 2


def agreement(answers: Sequence[Hashable | None]) -> float:
    """`ahead` of the two answers with the most votes; 0 where there are no votes."""
    first, second, *_ = [*sorted(totals(answers).values(), reverse=True), 0, 0]
    return ahead(int(first), int(second)) if first else 0.0


def settled(answers: Sequence[Hashable | None], count: int) -> bool:
    """Whether the majority of `count` answers, of which these are the first, can only be the one that leads now. As in
    `select`, the one that came first wins among equals."""
    left = count - len(answers)
    votes = totals(answers)
    if not votes or left <= 0:
        return left <= 0
    leader = max(votes, key=lambda answer: votes[answer])
    most, earlier = votes[leader], True
    for answer, number in votes.items():
        if answer == leader:
            earlier = False
        elif number + left > most or (earlier and number + left == most):
            return False
    return left <= most  # an answer that nobody has given yet would come last among equals


def further(answers: Sequence[Hashable | None], count: int, threshold: float) -> int:
    """How many samples to draw next: none when the vote may stop, else as few as could make it stop."""
    stop = _stops(count, threshold)
    votes = totals(answers)
    leader = max(votes, key=lambda answer: votes[answer]) if votes else ("unseen",)
    more = 0
    while len(answers) + more < count and not stop([*answers, *[leader] * more]):
        more += 1
    return more


def _stops(count: int, threshold: float) -> Callable[[Sequence[Hashable | None]], bool]:
    return lambda answers: settled(answers, count) or agreement(answers) >= threshold


def thresholds(count: int) -> list[float]:
    """Every value of `ahead` that matters in a vote of `count` samples, rising, and NEVER."""
    values = {
        ahead(first, votes - first) for votes in range(1, count + 1) for first in range(votes // 2 + 1, votes + 1)
    }
    return [*sorted(values), NEVER]


@cache
def worst_loss(count: int, threshold: float) -> float:
    """The most that stopping at `threshold` can cost: whatever the model and the question, the answer differs from that
    of the vote over all `count` samples with this probability at most, over the draw of the samples.

    Take the answer W that wins in the end with B votes, and an answer L with A votes, A <= B (at A = B only where W
    came first). The draws of the two come in any order with equal probability: a path from (0, 0) to (A, B). A vote
    that stops with L has L ahead of its strongest rival by the rule, and so of W, too: the path has met a point where
    the rule holds. Paths that meet none are counted by dynamic programming. Several L share count - B votes: the worst
    division is a knapsack's.
    """
    if threshold > 1:
        return 0.0
    stops = [[a > b and ahead(a, b) >= threshold for b in range(count + 1)] for a in range(count + 1)]
    anywhere, behind = _avoiding(stops, count, (0, 0)), _avoiding(stops, count, (0, 1))
    worst = 0.0
    for winner in range(1, count + 1):
        chance = np.zeros(count + 1)
        for loser in range(1, min(winner, count - winner) + 1):
            orders = math.comb(winner + loser, loser)
            met = orders - anywhere[loser][winner]
            if loser == winner:
                met = math.comb(2 * winner - 1, winner) - behind[loser][winner]
            chance[loser] = met / orders
        worst = max(worst, _knapsack(chance, count - winner))
    return min(1.0, worst)


def _avoiding(stops: list[list[bool]], count: int, start: tuple[int, int]) -> list[list[int]]:
    """Numbers of lattice paths from `start` to each point that meet no point of `stops`."""
    paths = [[0] * (count + 1) for _ in range(count + 1)]
    for a in range(start[0], count + 1):
        for b in range(start[1], count + 1 - a):
            if (a, b) == start:
                paths[a][b] = 1
            elif not stops[a][b]:
                paths[a][b] = (paths[a - 1][b] if a else 0) + (paths[a][b - 1] if b else 0)
    return paths


def _knapsack(chance: np.ndarray, votes: int) -> float:
    """The largest sum of chance[a] over numbers a that sum to at most `votes`."""
    best = np.zeros(votes + 1)
    for held in range(1, votes + 1):
        best[held] = np.max(chance[: held + 1] + best[held::-1])
    return float(best[votes])


@cache
def safe_threshold(count: int, loss: float) -> float:
    """The lowest threshold whose `worst_loss` is at most `loss`; NEVER for 0. Raises UsageError beyond MOST_SAMPLES."""
    if count > MOST_SAMPLES:
        raise UsageError(f"a vote that may stop early takes at most {MOST_SAMPLES} samples, not {count}")
    values = thresholds(count)
    low, high = 0, len(values) - 1  # the last one, NEVER, is always safe
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if worst_loss(count, values[middle]) <= loss else (middle + 1, high)
    return values[low]
