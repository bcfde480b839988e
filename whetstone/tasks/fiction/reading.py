"""The task: a document about an invented world, and one question about it."""

from __future__ import annotations

import hashlib
import json
import random
from itertools import islice
from typing import Any

from whetstone.tasks.answers import final_number, final_words, judge_integer, judge_words
from whetstone.tasks.fiction.asking import Asking
from whetstone.tasks.fiction.telling import Telling
from whetstone.tasks.task import Facts, Problem, PromptStyle, Task, Verdict


class Fiction(Telling, Asking, Task):
    """Level n: one fact of a short document; one of a longer one; two facts put together; three facts.

    The document comes from the first 16 bytes of the seed, the question from the rest: four problems in a row of a
    stream ask about one document. The style "closed" asks the same problems without their documents.
    """

    levels = (1, 2, 3, 4)
    siblings = 4
    stratum = "D"
    max_new_tokens = 32
    sizes = ((2, 4), (3, 5), (3, 5), (4, 5))  # houses and people
    needed = (1, 1, 2, 3)  # facts for one answer

    def sample(self, seed: bytes, level: int) -> Problem:
        source, rng = random.Random(seed[:16] + bytes([level])), random.Random(seed)
        facts = self.invent(source, *self.sizes[level - 1])
        document = self.document(facts, source)
        asks = self.askable(facts, self.needed[level - 1], source)
        facts["ask"] = next(islice(asks, seed[-1] % self.siblings, None))
        identity = hashlib.sha256(document.encode()).hexdigest()[:16]
        return Problem(f"{document}\n\n{self.asked(facts, facts['ask'], rng)}", facts, cluster=identity)

    def closed(self, problem: Problem) -> str:
        return problem.question.rpartition("\n\n")[2]

    def styles(self) -> dict[str, PromptStyle]:
        return {**super().styles(), "closed": PromptStyle("closed", None, "{closed} {instruction}")}

    def source(self, problem: Problem) -> bytes:
        """The world without the question: all questions about one document belong to one split."""
        world = {name: value for name, value in problem.facts.items() if name != "ask"}
        return json.dumps({"task": self.name, "facts": world}, sort_keys=True).encode()

    def canonical_facts(self, facts: Facts) -> Facts:
        ask: dict[str, Any] = {kind: sorted(subject) for kind, subject in facts["ask"].items()}
        return {**facts, "ask": ask}

    def check(self, problem: Problem, text: str) -> Verdict:
        answer = self.answer(problem)
        return judge_integer(text, int(answer)) if answer.isdigit() else judge_words(text, answer.split())

    def answer(self, problem: Problem) -> str:
        return self.found(problem.facts, problem.facts["ask"])[1]

    def worked(self, problem: Problem) -> str:
        steps, answer = self.found(problem.facts, problem.facts["ask"])
        return f"{'; '.join(steps)}. Answer: {answer}"

    def final_answer(self, text: str) -> str | None:
        return final_number(text) or final_words(text)
