"""Words that grow by rules: letters replaced all at once, and a grammar followed from its start."""

from __future__ import annotations

import random
from typing import Any

from whetstone.tasks.task import Facts
from whetstone.tasks.worlds.world import Solution, WordWorld


class Rewriting(WordWorld):
    """Level n: a word of 3, 5, 4 or 4 letters whose letters are all replaced at once; 1, 1, 2 or 3 times."""

    wordings = ("rules", "cells", "printer")
    max_new_tokens = 40
    letters = "abcdefghklmnoprstuw"
    longest = 24

    def draw(self, rng: random.Random, level: int) -> dict[str, Any]:
        while True:
            letters = rng.sample(self.letters, 3)
            parts = {letter: "".join(rng.choices(letters, k=rng.choice((1, 2, 2)))) for letter in letters}
            start = "".join(rng.choices(letters, k=(3, 5, 4, 4)[level - 1]))
            facts = {"rules": parts, "start": start, "rounds": (1, 1, 2, 3)[level - 1]}
            result = self.solve(facts).answer
            if result != start and len(start) < len(result) <= self.longest:
                return facts

    def told(self, facts: Facts, wording: str) -> str:
        rules, start, rounds = facts["rules"], facts["start"], facts["rounds"]
        times = f"{rounds} time" if rounds == 1 else f"{rounds} times"
        if wording == "rules":
            how = ", ".join(f"{letter} -> {new}" for letter, new in rules.items())
            return (
                f"Rules: {how}. In one step every letter of a word is replaced by its rule, all at the same time. "
                f"Do this {times} to the word {start}. Which word comes out?"
            )
        if wording == "cells":
            how = "; ".join(f"{letter} becomes {new}" for letter, new in rules.items())
            return (
                f"A row of cells grows. Each day every cell changes: {how}. The row begins as {start}. "
                f"Written without gaps, what does the row look like after {rounds} {'day' if rounds == 1 else 'days'}?"
            )
        how = ", ".join(f"{new} for {letter}" for letter, new in rules.items())
        return (
            f"A broken printer copies a word letter by letter, but prints {how}. Its output goes back in as the next "
            f"word. The first word reads {start} and the printer runs {times}. What does it print last?"
        )

    def solve(self, facts: Facts) -> Solution:
        word, steps = facts["start"], []
        for _ in range(facts["rounds"]):
            word = "".join(facts["rules"][letter] for letter in word)
            steps.append(f"then {word}")
        return Solution([f"First {facts['start']}", *steps], word)


class Derivation(WordWorld):
    """Level n: n + 1 numbered rules of a grammar, applied in a stated order to the leftmost capital."""

    wordings = ("grammar", "builder", "recipe")
    max_new_tokens = 40
    capitals = "PQRSTUVW"
    letters = "abcdefghklmnoprstuw"

    def draw(self, rng: random.Random, level: int) -> dict[str, Any]:
        capitals, letters = rng.sample(self.capitals, 2), rng.sample(self.letters, 4)
        rules = [[capital, self._side(rng, capitals, letters, kind)] for capital in capitals for kind in (0, 1, 2)]
        rng.shuffle(rules)
        order = self._order(rng, rules, capitals[0], level + 1)
        return {"start": capitals[0], "rules": {str(i): rule for i, rule in enumerate(rules, start=1)}, "order": order}

    @staticmethod
    def _side(rng: random.Random, capitals: list[str], letters: list[str], kind: int) -> str:
        """What a capital turns into: letters only, or letters around one or two capitals."""
        pieces = [rng.choice(letters) for _ in range(rng.randint(2, 3) if kind == 0 else rng.randint(1, 2))]
        for _ in range(kind):
            pieces.insert(rng.randint(0, len(pieces)), rng.choice(capitals))
        return "".join(pieces)

    @staticmethod
    def _order(rng: random.Random, rules: list[list[str]], start: str, count: int) -> list[int]:
        """Numbers of `count` rules whose application leaves a word without capitals, and not before the last one."""
        word, order = start, []
        for left in range(count - 1, -1, -1):
            capitals = [letter for letter in word if letter.isupper()]
            allowed = []
            for i, (capital, side) in enumerate(rules):
                after = len(capitals) - 1 + sum(letter.isupper() for letter in side)
                if capital == capitals[0] and min(1, left) <= after <= left:
                    allowed.append(i)
            chosen = rng.choice(allowed)
            word = word.replace(capitals[0], rules[chosen][1], 1)
            order.append(chosen + 1)
        return order

    def told(self, facts: Facts, wording: str) -> str:
        start = facts["start"]
        form, opening, asked = {
            "grammar": (
                "({}) {} -> {}",
                "A grammar has these rules:",
                f"Begin with {start}. Apply the rules {{}} in this order, each to the leftmost capital letter. "
                "Which word comes out?",
            ),
            "builder": (
                "plan {}: a {} gives way to {}",
                "A builder lays rows of letters by plans.",
                f"The row begins as {start}. The builder follows the plans {{}} in this order, each time at the first "
                "capital letter from the left. What does the row read at the end?",
            ),
            "recipe": (
                "step {}: for {} write {}",
                "Here are numbered steps for words.",
                f"On the paper stands {start}. Take the steps {{}} in this order; a step always changes the capital "
                "letter that stands furthest to the left. What stands on the paper afterwards?",
            ),
        }[wording]
        rules = [form.format(number, *rule) for number, rule in facts["rules"].items()]
        return f"{opening} {'; '.join(rules)}. {asked.format(self.listed([str(i) for i in facts['order']]))}"

    def solve(self, facts: Facts) -> Solution:
        word, steps = facts["start"], []
        for number in facts["order"]:
            capital, new = facts["rules"][str(number)]
            word = word.replace(capital, new, 1)
            steps.append(f"{number} makes {word}")
        return Solution(steps, word)
