"""The model's own opinion of what it wrote: the score that needs no verifier."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from whetstone.engine.protocol import Completion
from whetstone.engine.strategies.strategy import Candidate, Scores
from whetstone.errors import UsageError


def own_logprobs(completion: Completion) -> list[float]:
    """The model's log-probabilities of the tokens at temperature 1, in nats, of a completion that was drawn with
    `top_logprobs`. Raises UsageError where the backend gave none."""
    if len(completion.top) != len(completion.ids):
        raise UsageError("this backend gives no log-probabilities at temperature 1, which this method needs")
    return [top.chosen for top in completion.top]


@dataclass(frozen=True)
class Likelihood:
    """The geometric mean of the probabilities of a candidate's tokens, unfinished ones included: exp(mean log p), from
    0 to 1, so that the scores can be votes' weights. `temperature`: what the candidates are drawn at; at 1 their
    log-probabilities are the model's own, else those are asked for beside."""

    temperature: float = 1.0
    name: str = "likelihood"
    process: bool = True

    @property
    def params_needed(self) -> Mapping[str, Any]:
        return {} if self.temperature == 1 else {"top_logprobs": 1}

    def score(self, candidates: Sequence[Candidate]) -> Scores:
        """Free: the numbers came with the tokens. An empty candidate scores 0. Raises UsageError where the backend
        gives no numbers."""
        return Scores(tuple(self._score(each.completion) for each in candidates))

    def _score(self, completion: Completion) -> float:
        logprobs = own_logprobs(completion) if self.params_needed else completion.logprobs
        if len(logprobs) != completion.length:
            raise UsageError("this backend gives no log-probabilities, which a search by likelihood needs")
        return math.exp(fmean(logprobs)) if logprobs else 0.0
