"""Min-K%: in a text that was seen, even the least likely tokens are not very unlikely (Shi et al. 2023, arXiv
2310.16789)."""

from __future__ import annotations

import numpy as np

from whetstone.evals.contamination.moments import TokenMoments

SHARE = 0.2


def lowest_mean(values: np.ndarray, share: float = SHARE) -> float:
    """Mean of the lowest `share` of the values, at least one of them."""
    count = max(1, int(len(values) * share))
    return float(np.partition(values, count - 1)[:count].mean())


def score(tokens: TokenMoments) -> float:
    """Mean log-probability of the least likely fifth of the tokens, in nats."""
    return lowest_mean(tokens.logprobs)
