"""Tasks on lists of integers: the largest one, and sorting."""

from __future__ import annotations

import random

from whetstone.tasks.answers import final_list, judge_integers
from whetstone.tasks.arithmetic import IntegerTask
from whetstone.tasks.task import Facts, Problem, Task, Verdict


class Largest(IntegerTask):
    """Level n: the largest of n + 2 different numbers from 1 to 999."""

    levels = tuple(range(1, 13))

    def sample(self, seed: bytes, level: int) -> Problem:
        numbers = random.Random(seed).sample(range(1, 1000), level + 2)
        return Problem(f"What is the largest of {', '.join(map(str, numbers))}?", {"numbers": numbers})

    def gold(self, facts: Facts) -> int:
        return int(max(facts["numbers"]))

    def worked(self, problem: Problem) -> str:
        ordered = sorted(problem.facts["numbers"], reverse=True)
        return f"From largest to smallest: {', '.join(map(str, ordered))}. The largest is {ordered[0]}."

    def canonical_facts(self, facts: Facts) -> Facts:
        return {"numbers": sorted(facts["numbers"])}


class Sorting(Task):
    """Level n: sort n + 2 different numbers from 1 to 99; the question never shows them sorted."""

    levels = tuple(range(1, 13))
    instruction = "Reply with the sorted list only, separated by commas."
    max_new_tokens = 64

    def sample(self, seed: bytes, level: int) -> Problem:
        rng = random.Random(seed)
        numbers = rng.sample(range(1, 100), level + 2)
        while numbers == sorted(numbers):
            rng.shuffle(numbers)
        question = f"Sort these numbers in ascending order: {', '.join(map(str, numbers))}."
        return Problem(question, {"numbers": numbers})

    def check(self, problem: Problem, text: str) -> Verdict:
        return judge_integers(text, sorted(problem.facts["numbers"]))

    def answer(self, problem: Problem) -> str | None:
        return ", ".join(map(str, sorted(problem.facts["numbers"])))

    def final_answer(self, text: str) -> str | None:
        return final_list(text)

    def canonical_facts(self, facts: Facts) -> Facts:
        return {"numbers": sorted(facts["numbers"])}
