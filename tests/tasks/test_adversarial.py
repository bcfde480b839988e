"""The adversarial bank against every built-in task."""

from __future__ import annotations

import time
from fractions import Fraction

import pytest

from tests.tasks.adversarial import bank
from whetstone.tasks.keys import Partition, Stream
from whetstone.tasks.registry import BUILTIN, load_task
from whetstone.tasks.task import Problem, Verdict


def neighbours(problem: Problem, gold: str) -> list[str]:
    """Wrong answers of the right form: gold plus or minus one, swapped items, one left out, one doubled."""
    if problem.task == "countdown":
        target = problem.facts["target"]
        return [f"{gold} + 1", f"{gold} - 1", f"{target} + 0", f"{gold} = {target + 1}", f"({gold}) / 0"]
    if problem.task == "fractions":
        return [str(Fraction(gold) + 1), str(Fraction(gold) + Fraction(1, 1000)), str(-Fraction(gold))]
    if problem.task in ("sorting", "reversal"):
        separator = ", " if problem.task == "sorting" else " "
        items = gold.split(separator)
        others = [items[::-1], items[1:], items[:-1], [*items, items[-1]], [items[1], items[0], *items[2:]]]
        return [separator.join(other) for other in others]
    if not gold.lstrip("-").isdigit():
        return [f"{gold}e", gold[1:] + "e", f"{gold} {gold}", f"e{gold}", f"un{gold} {gold}", f"not {gold}"]
    number = int(gold)
    return [str(number + 1), str(number - 1), str(number + 10), f"1{abs(number)}", f"{number}.5"]


@pytest.mark.parametrize("name", BUILTIN)
def test_no_answer_of_the_bank_is_right(name: str) -> None:
    task = load_task(name)
    for level in (task.levels[0], task.default_level):
        for problem in Stream(task, b"adversarial", "train", level, Partition(b"p")).take(1):
            gold = task.answer(problem)
            assert gold is not None and task.check(problem, gold) is Verdict.RIGHT
            answers = bank(task, problem, gold, neighbours(problem, gold))
            assert len(answers) >= 300
            for answer in answers:
                started = time.perf_counter()
                verdict = task.check(problem, answer)
                assert verdict in (Verdict.WRONG, Verdict.NO_ANSWER), (problem, answer[:200])
                assert time.perf_counter() - started < 2.0, answer[:50]


@pytest.mark.parametrize("name", BUILTIN)
def test_echoing_the_question_is_never_right(name: str) -> None:
    task = load_task(name)
    for level in task.levels:
        for problem in Stream(task, b"echo", "train", level, Partition(b"p")).take(20, distinct=False):
            prompts = [style.messages(task, problem)[-1]["content"] for style in task.styles().values()]
            for text in (problem.question, *prompts):
                assert task.check(problem, text) in (Verdict.WRONG, Verdict.NO_ANSWER), (problem, text)
