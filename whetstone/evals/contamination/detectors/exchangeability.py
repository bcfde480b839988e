"""Exchangeability: items of a set have no order of their own, so a model that prefers the published order has seen it
(Oren et al. 2023, arXiv 2310.17623).

The set is cut into shards of a few consecutive items. Under "never seen" every order of a shard is as likely to be the
published one as any other, so drawing an order anew for every shard gives the exact null distribution.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import permutations

import numpy as np
from scipy import stats

SHARD = 3  # items; all six orders are scored, the published one first
DRAWS = 9999


def orders(size: int = SHARD) -> list[tuple[int, ...]]:
    """All orders of `size` items, the given one first."""
    return list(permutations(range(size)))


def score(logprobs_P: Sequence[float]) -> float:
    """One shard: how far the log-probability of its published order (the first value) lies above the mean over all
    orders, in their standard deviations; 0 where they are all alike."""
    values = np.asarray(logprobs_P, dtype=np.float64)
    spread = float(values.std())
    return 0.0 if spread == 0 else float((values[0] - values.mean()) / spread)


def permutation_p(logprobs_SP: Sequence[Sequence[float]], seed: int = 0, draws: int = DRAWS) -> float:
    """One-sided p of "the published order is no likelier": the published orders' sum among that of drawn ones.

    Exact in the sense that P(p <= x) <= x for every x: the true draw counts among the `draws` others.
    """
    values_SP = np.asarray(logprobs_SP, dtype=np.float64)
    values_SP = values_SP - values_SP.mean(1, keepdims=True)
    generator = np.random.default_rng(seed)
    drawn_DS = generator.integers(values_SP.shape[1], size=(draws, len(values_SP)))
    sums_D = values_SP[np.arange(len(values_SP)), drawn_DS].sum(1)
    observed = float(values_SP[:, 0].sum())
    # sums of the same numbers in another order may differ in the last bit
    return float((1 + (sums_D >= observed - 1e-9 * max(1.0, abs(observed))).sum()) / (draws + 1))


def sharded_t_p(logprobs_SP: Sequence[Sequence[float]]) -> float:
    """Oren's sharded form: a one-sided t test that the published order's lead over the mean of its shard is zero."""
    values_SP = np.asarray(logprobs_SP, dtype=np.float64)
    lead_S = values_SP[:, 0] - values_SP.mean(1)
    if len(lead_S) < 2 or float(lead_S.std()) == 0:
        return 1.0
    return float(stats.ttest_1samp(lead_S, 0.0, alternative="greater").pvalue)
