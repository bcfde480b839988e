"""A task's problems as strategies see them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from whetstone.engine.strategies.strategy import Question, Wording
from whetstone.tasks.keys import problem_seed
from whetstone.tasks.task import Problem, PromptStyle, Task, Verdict, judge, read_answer


def question_of(task: Task, problem: Problem, styles: Sequence[PromptStyle], key: bytes) -> Question:
    """`problem` in the words of `styles`, the default one first. Seeds come from `key` and the problem's id, so that
    another order or number of problems draws the same samples."""

    def seed(member: int) -> int:
        return int.from_bytes(problem_seed(key, "sampling", task.name, problem.id, member)[:8], "big")

    def check(text: str) -> bool:
        return judge(task, problem, text) is Verdict.RIGHT

    steps = task.styles().get("steps")
    return Question(
        prompts=tuple(tuple(style.messages(task, problem)) for style in styles),
        read=partial(read_answer, task),
        seed=seed,
        room=styles[0].room(task),
        check=check if task.verifiable else None,
        steps=None if steps is None else _wording(task, problem, steps),
    )


def _wording(task: Task, problem: Problem, style: PromptStyle) -> Wording:
    return Wording(tuple(style.messages(task, problem)), style.room(task), task.max_new_tokens)
