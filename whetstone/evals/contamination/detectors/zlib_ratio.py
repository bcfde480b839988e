"""Loss against compressed size: a text may be likely because it is plain (Carlini et al. 2021, arXiv 2012.07805)."""

from __future__ import annotations

import zlib

from whetstone.evals.contamination.moments import TokenMoments


def score(tokens: TokenMoments, text: str) -> float:
    """Log-probability of the whole text per byte of its zlib form, in nats: nearer to zero is likelier."""
    return float(tokens.logprobs.sum()) / len(zlib.compress(text.encode("utf-8", "surrogatepass"), 9))
