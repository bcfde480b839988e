"""What the worlds have in common: rules and a question drawn from the seed, told in one of several wordings."""

from __future__ import annotations

import random
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from whetstone.tasks.answers import final_number, final_words, judge_integer, judge_words
from whetstone.tasks.naming import Naming
from whetstone.tasks.task import Facts, Problem, Task, Verdict


@dataclass(frozen=True)
class Solution:
    """How the answer comes about, one step an item, and the answer as text."""

    steps: Sequence[str]
    answer: str


class World(Naming, Task):
    """A sealed task. Write `draw`, `told` and `solve`; name the wordings that `told` knows.

    `facts` hold the rules and the question and never the wording: two wordings of one problem are one problem.
    """

    stratum = "C"
    levels = (1, 2, 3, 4)
    wordings: tuple[str, ...] = ()  # at least three; a problem's `cluster` is the wording it is told in

    @abstractmethod
    def draw(self, rng: random.Random, level: int) -> dict[str, Any]:
        """The rules and the question as plain JSON. Its numbers and texts all occur in every wording."""

    @abstractmethod
    def told(self, facts: Facts, wording: str) -> str:
        """The question in one of the wordings."""

    @abstractmethod
    def solve(self, facts: Facts) -> Solution:
        """Follow the rules."""

    def sample(self, seed: bytes, level: int) -> Problem:
        rng = random.Random(seed)
        facts = self.draw(rng, level)
        wording = rng.choice(self.wordings)
        return Problem(self.told(facts, wording), facts, cluster=wording)

    def answer(self, problem: Problem) -> str:
        return self.solve(problem.facts).answer

    def worked(self, problem: Problem) -> str:
        solution = self.solve(problem.facts)
        return f"{'; '.join(solution.steps)}. Answer: {solution.answer}"

    @staticmethod
    def listed(words: Sequence[str]) -> str:
        """As in "a", "a and b", "a, b and c"."""
        return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"

    @staticmethod
    def shuffled(rng: random.Random, rules: Mapping[str, Any]) -> dict[str, Any]:
        """The same rules in a random order, so that the order of telling says nothing."""
        names = list(rules)
        rng.shuffle(names)
        return {name: rules[name] for name in names}


class IntegerWorld(World):
    """The answer is one integer."""

    instruction = "Reply with the number only."
    max_new_tokens = 24  # an invented name costs four tokens or five, and small models answer in sentences

    def check(self, problem: Problem, text: str) -> Verdict:
        return judge_integer(text, int(self.answer(problem)))

    def final_answer(self, text: str) -> str | None:
        return final_number(text)


class WordWorld(World):
    """The answer is one word or several, separated by spaces."""

    instruction = "Reply with the word only."
    max_new_tokens = 32

    def check(self, problem: Problem, text: str) -> Verdict:
        return judge_words(text, self.answer(problem).split())

    def final_answer(self, text: str) -> str | None:
        return final_words(text)
