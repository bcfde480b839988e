"""What a model that does not read the question would score."""

from __future__ import annotations

from collections import Counter

from whetstone.tasks.keys import Stream
from whetstone.tasks.task import Problem, Task, Verdict, judge


def majority_answer(task: Task, level: int, key: bytes, n: int) -> tuple[str, float]:
    """The most frequent right answer of n train problems, and its accuracy (0..1) as the answer to n
    validation problems.

    Both come from the given key. ("", 0.0) when the task gives no answers.
    """
    seen = Stream(task, key, "train", level).take(n, distinct=False)
    answers = Counter(answer for problem in seen if (answer := task.answer(problem)) is not None)
    if not answers:
        return "", 0.0
    text = min(answers, key=lambda answer: (-answers[answer], answer))
    fresh = Stream(task, key, "validation", level).take(n, distinct=False)
    return text, constant_accuracy(task, fresh, text)


def constant_accuracy(task: Task, problems: list[Problem], text: str = "") -> float:
    """The accuracy (0..1) of giving the same text to every problem; of the empty text it must be 0."""
    return sum(judge(task, problem, text) is Verdict.RIGHT for problem in problems) / max(1, len(problems))
