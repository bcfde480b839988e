"""Gold answers against a second way of working them out."""

from __future__ import annotations

import math
from fractions import Fraction

import pytest

from whetstone.tasks.keys import Partition, Stream
from whetstone.tasks.registry import load_task
from whetstone.tasks.task import Problem


def drawn(name: str) -> list[tuple[Problem, str]]:
    task = load_task(name)
    problems = [
        problem
        for level in task.levels
        for problem in Stream(task, b"k", "train", level, Partition(b"p")).take(40, distinct=False)
    ]
    return [(problem, task.answer(problem) or "") for problem in problems]


@pytest.mark.parametrize("name", ["addition", "subtraction", "multiplication", "chain"])
def test_gold_of_arithmetic(name: str) -> None:
    for problem, answer in drawn(name):
        expression = problem.question.removeprefix("What is ").removesuffix("?")
        assert str(eval(expression)) == answer  # our own text, so the interpreter may be the oracle


def test_gold_of_gcd() -> None:
    for problem, answer in drawn("gcd"):
        a, b = problem.facts["a"], problem.facts["b"]
        assert a != b and str(math.gcd(a, b)) == answer
        if b <= 9999:
            assert str(max(d for d in range(1, min(a, b) + 1) if a % d == b % d == 0)) == answer


def test_gold_of_fractions() -> None:
    for problem, answer in drawn("fractions"):
        left, right = problem.question.removeprefix("What is ").removesuffix("?").split(" + ")
        assert Fraction(left) + Fraction(right) == Fraction(answer)


def test_gold_of_lists_and_words() -> None:
    for problem, answer in drawn("largest"):
        assert sorted(problem.facts["numbers"])[-1] == int(answer)
    for problem, answer in drawn("sorting"):
        items = [int(item) for item in answer.split(", ")]
        assert items == sorted(items) and sorted(items) == sorted(problem.facts["numbers"])
        assert problem.facts["numbers"] != items
    for problem, answer in drawn("reversal"):
        assert list(reversed(answer.split())) == problem.facts["words"]
    for problem, answer in drawn("letters"):
        assert sum(letter == problem.facts["letter"] for letter in problem.facts["text"]) == int(answer)


@pytest.mark.parametrize("name", ["addition", "subtraction", "multiplication"])
def test_levels_are_digits(name: str) -> None:
    for problem, _ in drawn(name):
        assert len(str(problem.facts["a"])) == problem.level
