"""What a model that does not read the question would say."""

from __future__ import annotations

from collections import Counter

from whetstone.tasks.keys import Stream
from whetstone.tasks.task import Task


def majority_answer(task: Task, level: int, key: bytes, n: int) -> str | None:
    """The most frequent right answer of n problems from the train split of the key; None where the task gives none.

    The answers are chosen on other problems than they are scored on: a split's problems are in no other one.
    """
    seen = Stream(task, key, "train", level).take(n, distinct=False)
    answers = Counter(answer for problem in seen if (answer := task.answer(problem)) is not None)
    return min(answers, key=lambda answer: (-answers[answer], answer), default=None)
