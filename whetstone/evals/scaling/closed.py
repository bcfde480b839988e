"""From a pool of judged samples to points: what a choice among k samples would be worth and cost, in expectation.

Each number is the mean over all subsets of k of the n samples that were drawn, so a curve costs no new sample and does
not hang on which samples came first. (Weighted votes: over many subsets.)
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from whetstone.engine.protocol import Request
from whetstone.engine.samples import Sample
from whetstone.engine.selection import Selection
from whetstone.engine.strategies.run import FAILED, Account
from whetstone.engine.strategies.spending import prompt_flops
from whetstone.engine.strategies.strategy import Scores
from whetstone.evals.scaling.points import FIELDS
from whetstone.evals.statistics.best_of import best_of_k, random_of_k, weighted_at_k
from whetstone.evals.statistics.clusters import Floats
from whetstone.evals.statistics.repeated import pass_at_k
from whetstone.evals.statistics.votes import Ballot, maj_at_k
from whetstone.models.config import ModelConfig
from whetstone.tasks.task import Verdict


@dataclass(frozen=True)
class Scored:
    """A verifier's scores of a question's samples and what one of them costs on average: a row of `FIELDS`."""

    values: tuple[float, ...]
    each_F: Floats


@dataclass(frozen=True)
class PooledQuestion:
    """A question's samples, judged. `answers`: as they vote, None for silence. Asking for k of them costs `once_F` plus
    k times `each_F` (rows of `FIELDS`)."""

    answers: tuple[str | None, ...]
    verdicts: tuple[Verdict, ...]
    finishes: tuple[str, ...]
    tokens: tuple[int, ...]
    once_F: Floats
    each_F: Floats
    scores: Mapping[str, Scored] = field(default_factory=dict)

    @property
    def right(self) -> list[float]:
        return [float(verdict is Verdict.RIGHT) for verdict in self.verdicts]

    @property
    def silent(self) -> list[bool]:
        return [answer is None for answer in self.answers]

    def ballot(self) -> Ballot:
        counts: Counter[str] = Counter(answer for answer in self.answers if answer is not None)
        right: Counter[str] = Counter(a for a, r in zip(self.answers, self.right, strict=True) if r and a is not None)
        shares = tuple(right[answer] / count for answer, count in counts.items())
        return Ballot(tuple(counts.values()), shares, self.answers.count(None))


def costs(request: Request, samples: Sequence[Sample], config: ModelConfig | None) -> tuple[Floats, Floats]:
    """(once_F, each_F): what `Account` would count for k of these samples, in expectation."""
    account = Account(config)
    account.drawn(request, samples)
    whole, n, prompt = account.spent, len(samples), len(request.prompt_ids)
    counted = any(sample.prompt_tokens for sample in samples)  # an endpoint bills the prompt with each sample
    of_prompt = 0.0 if config is None else prompt_flops(config, prompt, 0)
    once = {
        "prompt_tokens": 0.0 if counted else whole.prompt_tokens,
        "cached_tokens": -prompt,
        "rounds": 1,
        "flops": of_prompt,
    }
    each = {
        "prompt_tokens": whole.prompt_tokens / n if counted else 0.0,
        "cached_tokens": prompt,
        "written_tokens": whole.written_tokens / n,
        "completions": 1,
        "failed": whole.failed / n,
        "seconds": whole.seconds / n,
        "flops": (whole.flops - of_prompt) / n,
    }
    return _row(once), _row(each)


def scored(scores: Scores, seconds: float) -> Scored:
    """What a verifier said of all samples of a question, and how long it took."""
    n = len(scores.values)
    each = {"verifier_tokens": scores.tokens / n, "flops": scores.flops / n, "seconds": seconds / n}
    return Scored(scores.values, _row(each))


def _row(values: Mapping[str, float]) -> Floats:
    return np.array([values.get(name, 0.0) for name in FIELDS], dtype=np.float64)


def spent_at(pool: Sequence[PooledQuestion], k: int, verifier: str | None) -> Floats:
    """[N, F]: what k samples of each question cost, a verifier's look at them included."""
    rows = [each.once_F + k * (each.each_F + (each.scores[verifier].each_F if verifier else 0.0)) for each in pool]
    return np.array(rows)


def right_at(pool: Sequence[PooledQuestion], how: Selection, k: int, verifier: str | None) -> Floats:
    """[N]: chance that what `how` selects from k samples is right."""
    if how == "majority":
        return np.array([maj_at_k(each.ballot(), k) for each in pool])
    if how == "first":
        return random_at(pool, k)  # samples come in no order: the first that speaks is any that does
    assert verifier is not None
    if how == "best":
        found = [best_of_k(each.scores[verifier].values, each.right, k, each.silent) for each in pool]
    else:
        found = [weighted_at_k(each.answers, each.scores[verifier].values, each.right, k) for each in pool]
    return np.array(found)


def random_at(pool: Sequence[PooledQuestion], k: int) -> Floats:
    """[N]: the same for scores shuffled among the candidates."""
    return np.array([random_of_k(each.right, k, each.silent) for each in pool])


def pass_at(pool: Sequence[PooledQuestion], k: int) -> Floats:
    """[N]: chance that any of k samples is right."""
    return np.array([pass_at_k(len(each.verdicts), int(sum(each.right)), k) for each in pool])


def failures_at(pool: Sequence[PooledQuestion], k: int) -> dict[str, float]:
    """Completions of one question that never came, by kind."""
    counted = Counter(finish for each in pool for finish in each.finishes if finish in FAILED)
    drawn = sum(len(each.finishes) for each in pool)
    return {kind: count * k / drawn for kind, count in sorted(counted.items())}
