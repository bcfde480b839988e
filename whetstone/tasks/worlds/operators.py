"""Invented operations: one given by a formula on whole numbers, one by a table of letters."""

from __future__ import annotations

import random
from typing import Any

from whetstone.tasks.task import Facts
from whetstone.tasks.worlds.world import IntegerWorld, Solution, WordWorld


class Operator(IntegerWorld):
    """Level n: an operation a x + b y + c, once; above level 1 only the remainder of a division counts; levels 3 and 4
    apply it two and three times.
    """

    wordings = ("definition", "school", "machine")

    def draw(self, rng: random.Random, level: int) -> dict[str, Any]:
        name = self.invented(rng, 1)[0]
        while True:
            rule = {"left": rng.randint(2, 5), "right": rng.randint(2, 5), "plus": rng.randint(2, 9)}
            if level > 1:
                rule["divisor"] = rng.randint(11, 29)
            terms = [rng.randint(2, 9) for _ in range(max(2, level))]
            facts = {"name": name, "rule": rule, "terms": terms}
            if self._value(facts) not in terms:  # else the question would state its answer
                return facts

    def told(self, facts: Facts, wording: str) -> str:
        name, rule = facts["name"], facts["rule"]
        asked = str(facts["terms"][0])
        for place, term in enumerate(facts["terms"][1:]):
            asked = f"({asked}) {name} {term}" if place else f"{asked} {name} {term}"
        left, right, plus, divisor = rule["left"], rule["right"], rule["plus"], rule.get("divisor")
        if wording == "definition":
            rest = "" if divisor is None else f", and of that only the remainder after division by {divisor}"
            return f'"x {name} y" means {left} times x plus {right} times y plus {plus}{rest}. What is {asked}?'
        if wording == "school":
            rest = "" if divisor is None else f" Then they keep the remainder after division by {divisor}."
            return (
                f"Children in a far country learn to {name}. For x {name} y they multiply x by {left}, multiply y by "
                f"{right}, add the two products and add {plus}.{rest} What do they get for {asked}?"
            )
        rest = "" if divisor is None else f", divides the sum by {divisor} and shows the remainder"
        return (
            f"A machine has a button called {name}. Between two numbers x and y it works out {left}*x + {right}*y + "
            f"{plus}{rest}. What does the machine show for {asked}?"
        )

    def solve(self, facts: Facts) -> Solution:
        name, value, steps = facts["name"], facts["terms"][0], []
        for term in facts["terms"][1:]:
            result = self._apply(facts["rule"], value, term)
            steps.append(f"{value} {name} {term} makes {result}")
            value = result
        return Solution(steps, str(value))

    def _value(self, facts: Facts) -> int:
        return int(self.solve(facts).answer)

    @staticmethod
    def _apply(rule: dict[str, int], x: int, y: int) -> int:
        value = rule["left"] * x + rule["right"] * y + rule["plus"]
        return value % rule["divisor"] if "divisor" in rule else value


class Combining(WordWorld):
    """Level n: n + 1 letters joined by an operation that a table gives for 5 letters (level 4: for 6).

    The table is a Latin square, so that no letter is a better guess than another.
    """

    wordings = ("table", "paints", "tribe")
    instruction = "Reply with the letter only."
    max_new_tokens = 24
    letters = "bcdfghjklmnpqrstvwz"

    def draw(self, rng: random.Random, level: int) -> dict[str, Any]:
        letters = rng.sample(self.letters, 5 if level < 4 else 6)
        size = len(letters)
        rows, columns, results = (rng.sample(range(size), size) for _ in range(3))
        table = {
            left: {right: letters[results[(i + j) % size]] for right, j in zip(letters, columns, strict=True)}
            for left, i in zip(letters, rows, strict=True)
        }
        return {"table": table, "word": [rng.choice(letters) for _ in range(level + 1)]}

    def told(self, facts: Facts, wording: str) -> str:
        word = facts["word"]
        form, opening, asked = {
            "table": (
                "{} with {} gives {}",
                "Two letters are joined into one, and the order counts:",
                f"Begin with {word[0]} and join it with {self.listed(word[1:])}, one after the other. What comes out?",
            ),
            "paints": (
                "{} then {} turns into {}",
                "Paints have letters for names. When one paint goes on the wall and another on top of it:",
                f"The wall has paint {word[0]}. On top go {self.listed(word[1:])}, in this order. "
                "Which paint shows at the end?",
            ),
            "tribe": (
                "a {} who meets a {} becomes a {}",
                "In a tale every traveller has a clan, named by a letter, and a meeting changes the traveller's clan:",
                f"A {word[0]} meets {self.listed(['a ' + letter for letter in word[1:]])}, in this order. "
                "To which clan does the traveller belong afterwards?",
            ),
        }[wording]
        rules = [form.format(x, y, z) for x, row in facts["table"].items() for y, z in row.items()]
        return f"{opening} {'; '.join(rules)}. {asked}"

    def solve(self, facts: Facts) -> Solution:
        value, steps = facts["word"][0], []
        for letter in facts["word"][1:]:
            result = facts["table"][value][letter]
            steps.append(f"{value} and {letter} make {result}")
            value = result
        return Solution(steps, value)
