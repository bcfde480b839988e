"""How sure the model was of what it wrote, from the probabilities that came with the tokens: nothing is asked again."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any

from whetstone.engine.protocol import TopLogprobs
from whetstone.engine.strategies.strategy import Candidate, Scores
from whetstone.errors import UsageError

TOP = 20  # what endpoints give at most
LEAST = -100.0  # a log-probability below this counts as this: some say "impossible" by minus infinity


@dataclass(frozen=True)
class Certainty:
    """Self-certainty: how far the distribution of each token is from uniform, KL(U || p), in nats (Kang et al. 2025,
    arXiv 2502.18581, whose -1/(nV) sum log(V p) over vocabulary and tokens this is).

    Truncated: the sum runs over the `top` likeliest tokens instead of all V, and U is uniform over them; with `top` = V
    it is theirs to the letter. Up to the constant log(top) it is also the token confidence of DeepConf (Fu et al. 2025,
    arXiv 2508.15260). window 0: the mean over the answer's tokens, the end mark included. Else DeepConf's lowest group
    confidence: the least of the means over so many tokens in a row (over all where there are fewer); their windows of
    2,048 are for answers of tens of thousands. Never below 0, so it can be the weight of a vote.
    """

    name: str = "certainty"
    top: int = TOP
    window: int = 0
    process: bool = True

    @property
    def params_needed(self) -> Mapping[str, Any]:
        return {"top_logprobs": self.top}

    def score(self, candidates: Sequence[Candidate]) -> Scores:
        """0 for a candidate without tokens. Raises UsageError for tokens without their likeliest alternatives."""
        return Scores(tuple(self._of(candidate) for candidate in candidates))

    def _of(self, candidate: Candidate) -> float:
        completion = candidate.completion
        if completion.length == 0:
            return 0.0
        if not completion.top:
            raise UsageError(
                f"{self.name} needs the probabilities of the likeliest tokens, and this backend does not give them: "
                "choose by likelihood, or by a judge"
            )
        values = [token_certainty(top, self.top) for top in completion.top]
        return lowest_mean(values, self.window or len(values))


@dataclass(frozen=True)
class Likelihood:
    """The geometric mean of the probabilities of the answer's tokens, from 0 to 1: exp of the mean log-probability, so
    that it can be the weight of a vote. Of the distribution that was sampled, hence at its temperature."""

    name: str = "likelihood"
    process: bool = True
    params_needed: Mapping[str, Any] = field(default_factory=dict)

    def score(self, candidates: Sequence[Candidate]) -> Scores:
        """0 for a candidate without tokens. Raises UsageError for tokens without log-probabilities."""
        values = []
        for candidate in candidates:
            logprobs = candidate.completion.logprobs
            if candidate.completion.length and not logprobs:
                raise UsageError("likelihood needs the tokens' log-probabilities, and this backend does not give them")
            values.append(math.exp(max(LEAST, math.fsum(logprobs) / len(logprobs))) if logprobs else 0.0)
        return Scores(tuple(values))


def token_certainty(top: TopLogprobs, count: int) -> float:
    """KL(U || p) over the `count` likeliest tokens: -log k - 1/k sum of log p, for the k that are there."""
    logprobs = [max(LEAST, logprob) for logprob in top.logprobs[:count]]
    return max(0.0, -math.log(len(logprobs)) - math.fsum(logprobs) / len(logprobs)) if logprobs else 0.0


def lowest_mean(values: Sequence[float], window: int) -> float:
    """The least mean of `window` values in a row; of all where there are fewer. ValueError for no values."""
    if not values:
        raise ValueError("no values have no mean")
    width = min(window, len(values))
    sums = list(accumulate(values, initial=0.0))
    return min(after - before for before, after in zip(sums, sums[width:], strict=False)) / width
