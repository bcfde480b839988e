"""maj@k: how often a vote over k answers would be right, from n that were drawn."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from whetstone.evals.statistics.clusters import Clusters, Floats
from whetstone.evals.statistics.repeated import Row, bands
from whetstone.evals.statistics.resampling import RESAMPLES


@dataclass(frozen=True)
class Ballot:
    """The answers to one problem: `counts` of each distinct answer, which of these are `right`, and how many `silent`
    samples gave no answer and do not vote.

    `right` is a share where texts that count as the same answer were not judged alike: the text that stands for the
    winning answer is as likely any of them.
    """

    counts: tuple[int, ...]
    right: tuple[float, ...]
    silent: int = 0

    def __post_init__(self) -> None:
        if len(self.counts) != len(self.right) or min((*self.counts, 1)) < 1 or self.silent < 0:
            raise ValueError("each answer needs a count of at least 1 and whether it is right")
        if not all(0 <= share <= 1 for share in self.right):
            raise ValueError("an answer is right, wrong, or right in a share of its texts")


def maj_at_k(ballot: Ballot, k: int) -> float:
    """Chance that the most frequent of `k` answers is right; ties go to each of the tied with equal chance.

    The mean over all C(n, k) subsets of the n samples, exact and unbiased: for each number r of votes for a right
    answer, the subsets in which no other answer has more than r are counted as coefficients of a product of
    polynomials, one for each other answer. Subsets where all are silent count as wrong. ValueError unless 1 <= k <= n.
    """
    n = sum(ballot.counts) + ballot.silent
    if not 1 <= k <= n:
        raise ValueError(f"maj@{k} cannot be estimated from {n} answers")
    won = 0.0
    for place, right in enumerate(ballot.right):
        if right:
            others = tuple(sorted(ballot.counts[:place] + ballot.counts[place + 1 :]))
            won += right * _subsets_won(ballot.counts[place], others, ballot.silent, k)
    return min(1.0, won / math.comb(n, k))


@lru_cache(maxsize=100_000)
def _subsets_won(own: int, others: tuple[int, ...], silent: int, k: int) -> float:
    """Subsets of size k that an answer with `own` samples wins; a tie of t + 1 answers counts 1 / (t + 1)."""
    won = 0.0
    for votes in range(1, min(own, k) + 1):
        rest = k - votes
        ways_TX = np.zeros((rest // votes + 1, rest + 1))  # by ties with this answer, by samples used up
        # answers with fewer samples than that cannot win or tie: theirs are free to be drawn, as silent ones are
        free = silent + sum(count for count in others if count < votes)
        ways_TX[0] = [math.comb(free, used) for used in range(rest + 1)]
        for count in others:
            if count >= votes:
                ways_TX = _with_another(ways_TX, count, votes)
        won += math.comb(own, votes) * float((ways_TX[:, rest] / np.arange(1, len(ways_TX) + 1)).sum())
    return won


def _with_another(ways_TX: Floats, count: int, votes: int) -> Floats:
    """The ways when an answer with `count` samples has any number of votes up to `votes`, which makes it a tie."""
    grown_TX = np.zeros_like(ways_TX)
    width = ways_TX.shape[1]
    for theirs in range(min(votes, width - 1) + 1):
        before_TX = math.comb(count, theirs) * ways_TX[:, : width - theirs]
        if theirs < votes:
            grown_TX[:, theirs:] += before_TX
        else:
            grown_TX[1:, theirs:] += before_TX[:-1]
    return grown_TX


def maj_at_k_curve(
    ballots: Sequence[Ballot],
    ks: Iterable[int],
    resamples: int = RESAMPLES,
    seed: int = 0,
    clusters: Clusters | None = None,
) -> list[Row]:
    """Mean maj@k over problems with a 95 % band, one {k, mean, low, high, n} for each k, as `pass_at_k_curve`."""
    if not ballots:
        raise ValueError("no problems to compute maj@k from")
    ks = list(ks)
    return bands(np.array([[maj_at_k(ballot, k) for k in ks] for ballot in ballots]), ks, resamples, seed, clusters)
