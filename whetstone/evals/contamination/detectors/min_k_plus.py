"""Min-K%++: as Min-K%, each log-probability measured against what the model expected at that place (Zhang et al. 2024,
arXiv 2404.02936, eq. 3)."""

from __future__ import annotations

from whetstone.evals.contamination.detectors.min_k import lowest_mean
from whetstone.evals.contamination.moments import TokenMoments


def score(tokens: TokenMoments) -> float:
    """Mean of the lowest fifth of (log p - E[log p]) / sd[log p], without a unit."""
    return lowest_mean((tokens.logprobs - tokens.means) / tokens.deviations)
