"""A tiny model that is asked sums: what the strategies' tests share."""

from __future__ import annotations

from pathlib import Path

from tests.tiny import tiny_model, tiny_tokenizer
from whetstone.engine.backends import Backend, local
from whetstone.engine.strategies.questions import question_of
from whetstone.engine.strategies.strategy import Question
from whetstone.models.loading import Loaded
from whetstone.tasks.keys import Stream
from whetstone.tasks.registry import load_task

KEY = b"k" * 32


def tiny_loaded(seed: int = 0) -> Loaded:
    return Loaded(tiny_model(seed), tiny_tokenizer(), "tiny", Path("tiny"))


def tiny_backend(seed: int = 0) -> Backend:
    return local(tiny_loaded(seed))


def sums(count: int, level: int = 1, styles: int = 1) -> list[Question]:
    """Questions of the addition task."""
    task = load_task("addition")
    wordings = list(task.styles().values())[:styles]
    problems = Stream(task, KEY, "eval", level).take(count, distinct=True)
    return [question_of(task, problem, wordings, KEY) for problem in problems]
