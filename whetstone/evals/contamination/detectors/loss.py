"""Loss: a text that was trained on is likelier than one that was not (Yeom et al. 2018, arXiv 1709.01604)."""

from __future__ import annotations

from whetstone.evals.contamination.moments import TokenMoments


def score(tokens: TokenMoments) -> float:
    """Mean log-probability of a token, in nats."""
    return float(tokens.logprobs.mean())
