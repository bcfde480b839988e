"""What a completion is worth. Format and length never add to a reward: a right answer is 1, anything else 0."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from whetstone.engine.protocol import Completion
from whetstone.engine.sampling import uniforms
from whetstone.tasks.task import Problem, Verdict

Reward = Callable[[Problem, Completion, Verdict, int], float]  # the last is the completion's own seed


def task_reward(problem: Problem, completion: Completion, verdict: Verdict, seed: int) -> float:
    """1 for a right answer, 0 for every other verdict."""
    return float(verdict is Verdict.RIGHT)


def format_reward(problem: Problem, completion: Completion, verdict: Verdict, seed: int) -> float:
    """1 for an answer that can be read, right or wrong: the control that shows what learning the form alone does."""
    return float(verdict in (Verdict.RIGHT, Verdict.WRONG))


def inverted_reward(problem: Problem, completion: Completion, verdict: Verdict, seed: int) -> float:
    """1 for a wrong answer: the control that should make a model worse."""
    return float(verdict is Verdict.WRONG)


def random_reward(problem: Problem, completion: Completion, verdict: Verdict, seed: int) -> float:
    """A fair coin that knows nothing of the answer: the control that shows what the procedure alone does."""
    # another stream of the same hash than the one that sampled the tokens
    coin = uniforms(np.array([seed ^ 0x5DEECE66D], dtype=np.uint64), 1 << 20)
    return float(coin[0] < 0.5)
